"""What can be known of the containers and cards without building or uploading them."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.commands import ROOT
from tests.test_docs import flags_of

DEPLOY = ROOT / "deploy"
DOCKERFILES = [DEPLOY / "Dockerfile", DEPLOY / "space" / "Dockerfile"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, words) of a Dockerfile, lines joined, comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def front_matter(path: Path) -> dict:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


@pytest.mark.parametrize("path", DOCKERFILES, ids=["container", "space"])
def test_dockerfiles_name_what_there_is(path):
    found = instructions(path)
    assert found[0][0] == "FROM"
    version = re.search(r"python:(\d+\.\d+)", found[0][1])[1]
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]
    known = {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in found} <= known
    names = [name for name, _ in found]
    assert names.index("USER") < names.index("CMD")  # not root
    extras = re.findall(r"EXTRAS=([\w,]+)", path.read_text()) + re.findall(
        r"\$\{wheel\}\[([\w,]+)\]", path.read_text()
    )
    assert extras
    for extra in ",".join(extras).split(","):
        assert extra in PROJECT["optional-dependencies"], extra


def test_the_spaces_command_has_flags_that_there_are():
    (command,) = (words for name, words in instructions(DOCKERFILES[1]) if name == "CMD")
    shell = yaml.safe_load(command)[2]
    words = shlex.split(shell)
    assert words[:3] == ["exec", "fftdiff-jax", "demo"]
    for flag in words[3:]:
        assert flag.removeprefix("--").split("=")[0] in flags_of("demo")
    about = front_matter(DEPLOY / "space" / "README.md")
    assert about["sdk"] == "docker"
    assert ("EXPOSE", str(about["app_port"])) in instructions(DOCKERFILES[1])


@pytest.mark.slow
def test_what_the_container_copies_is_a_package_with_its_weights(tmp_path):
    """As its COPY and RUN do; the wheel is one that the Space's Dockerfile finds, too."""
    package = tmp_path / "package"
    for words in (words for name, words in instructions(DOCKERFILES[0]) if name == "COPY"):
        *sources, target = words.split()
        for source in sources:
            place = package / target
            if (ROOT / source).is_dir():
                skip = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, place, ignore=skip)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
    command = (sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, package)
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert "fftdiff_jax/restore/pretrained/rain.safetensors" in held
    assert {"fftdiff_jax/commands/demo_page.css", "fftdiff_jax/commands/demo_page.js"} <= held


def test_the_cards_numbers_are_those_of_the_results():
    card = front_matter(DEPLOY / "model_card.md")
    assert card["license"] == PROJECT["license"].lower()
    assert card["library_name"] == "fftdiff_jax"
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| restored \| (\d.*)\|$", results, re.MULTILINE)[:1]
    cells = [float(cell.split("(")[0]) for cell in row.split("|")[:5]]
    stated = {m["type"]: m["value"] for m in card["model-index"][0]["results"][0]["metrics"]}
    assert stated == {"psnr": cells[0], "ssim": cells[1], "lpips": cells[4]}
    text = (DEPLOY / "model_card.md").read_text(encoding="utf-8")
    for number in (cells[0], cells[1], cells[4]):
        assert str(number) in text.split("---\n")[2]
