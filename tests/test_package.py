"""What is installed: the wheel, outside the checkout, with what it asks for and nothing else."""

import importlib.metadata
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from fftdiff_jax import __version__
from fftdiff_jax.commands.command_line import explain
from tests.commands import ROOT, environment

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_full_set_is_what_restoring_and_training_need():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    full = sorted(line for line in lines if line and not line.startswith("#"))
    extras = PROJECT["optional-dependencies"]
    assert full == sorted([*PROJECT["dependencies"], *extras["training"]])


@pytest.mark.parametrize("text", PROJECT["optional-dependencies"]["training"])
def test_a_package_that_is_missing_is_known_by_its_extra(text):
    owner = canonicalize_name(Requirement(text).name)
    lines = [
        explain(ModuleNotFoundError(name=module))
        for module, owners in importlib.metadata.packages_distributions().items()
        if owner in map(canonicalize_name, owners)
    ]
    assert any(line and line.endswith("pip install 'fftdiff-jax[training]'") for line in lines)


def test_the_page_of_an_index_needs_no_repository():
    text = (ROOT / PROJECT["readme"]).read_text(encoding="utf-8")
    assert not [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built without a network, from a copy: a build leaves files behind."""
    pytest.importorskip("setuptools", minversion="77", reason="pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("wheel")
    copy = "git ls-files -z | xargs -0 cp --parents -t"
    (folder / "source").mkdir()
    subprocess.run(f"{copy} {folder / 'source'}", shell=True, cwd=ROOT, check=True)
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", *options, folder / "source"], check=True
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_a_wheel_is_one_package_with_all_that_it_reads(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = f"fftdiff_jax-{__version__}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{about}/METADATA").decode())
    assert {name.partition("/")[0] for name in names} == {"fftdiff_jax", about}
    data = (
        *("recipes/quickstart.py", "restore/pretrained/rain.safetensors", "py.typed"),
        *("commands/page_files/index.html", "commands/page_files/worker.js"),
    )
    assert {f"fftdiff_jax/{name}" for name in (*data, "commands/benchmarks/worker.py")} <= names
    pages = {str(path.relative_to(ROOT)) for path in ROOT.glob("fftdiff_jax/evaluation/**/*.html*")}
    assert pages
    assert pages <= names
    assert metadata["Version"] == __version__
    assert metadata["Author"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "pip install fftdiff-jax" in str(metadata.get_payload())


def needed(requirements: list[str]) -> set[str]:
    """The distributions that are installed for them, by their canonical names."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        wanted = any(
            requirement.marker is None or requirement.marker.evaluate({"extra": extra})
            for extra in ("", *requirement.extras)
        )
        if name in found or not wanted:
            continue
        found.add(name)
        waiting += [Requirement(text) for text in importlib.metadata.requires(name) or []]
    return found


HIDING = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
sys.path.append({site!r})
"""


def surroundings() -> dict[str, str]:
    """The environment of a process that knows of no checkout; pip takes one for an installation."""
    found = environment()
    del found["PYTHONPATH"]
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The programs of an environment that holds the wheel and, seemingly, what it asks for.

    Its packages are those of this environment, without a network; the others are hidden.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    options = ("--quiet", "--no-deps", "--no-index")
    subprocess.run([*pip, "install", *options, wheel], env=surroundings(), check=True)
    base = needed(PROJECT["dependencies"])
    hidden = {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if not base & {canonicalize_name(owner) for owner in owners}
    } - {"fftdiff_jax"}
    (packages,) = folder.glob("lib/python*/site-packages")
    site = sysconfig.get_path("purelib")
    (packages / "sitecustomize.py").write_text(HIDING.format(hidden=hidden, site=site))
    return folder / "bin"


def outside(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs fftdiff-jax, with nothing of the checkout on any path."""
    command = [installed / "fftdiff-jax", *words]
    return subprocess.run(
        command, cwd=folder, env=surroundings(), capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_restoring_needs_no_more_than_the_base(installed, tmp_path, rng):
    assert outside(installed, tmp_path, "--version").stdout == f"fftdiff-jax {__version__}\n"
    Image.fromarray(rng.integers(0, 256, (60, 70, 3), np.uint8)).save(tmp_path / "photo.png")
    result = outside(installed, tmp_path, "photo.png", "--uncertainty")
    assert result.returncode == 0, result.stderr
    assert Image.open(tmp_path / "restored" / "photo.png").size == (70, 60)
    assert (tmp_path / "restored" / "photo.uncertainty.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("train", "--config=quickstart", "--workdir=run"), "training"),
        (("evaluate", "--manifest=embedded", "-o", "scores"), "training"),
        (("inspect", "-o", "pair.png"), "training"),
        (("demo",), "demo"),
        (("export", "-o", "model.onnx"), "export"),
    ],
)
def test_what_is_missing_is_one_line(installed, tmp_path, words, extra):
    """By its name, a recipe is found here too."""
    result = outside(installed, tmp_path, *words)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(f"pip install 'fftdiff-jax[{extra}]'")
    assert list(tmp_path.iterdir()) == []
