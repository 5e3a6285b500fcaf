"""The documents against the code: what they name exists, and what is generated is up to date."""

import functools
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from fftdiff_jax.__main__ import VERBS
from tests.commands import ROOT, environment

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
LINKING = [*PAGES, *sorted((ROOT / "docs" / "notebook").glob("*.md"))]
LINKING.append(ROOT / "fftdiff_jax" / "restore" / "pretrained" / "README.md")


def script(name: str) -> ModuleType:
    """A script of docs/, imported."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_configuration_is_up_to_date():
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == script("write_configuration").document(), (
        "run: python docs/write_configuration.py"
    )


def test_every_field_of_the_configuration_is_on_its_page():
    from fftdiff_jax.config import Config, to_dict

    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for group, fields in to_dict(Config()).items():
        for field in fields:
            assert f"| `{group}.{field}` |" in written


@pytest.mark.slow
def test_the_sheet_shows_the_shapes_of_the_code():
    from fftdiff_jax.commands.config_flags import load_config

    pipeline = script("draw_training_pipeline")
    picture = Image.open(ROOT / "docs" / "training_pipeline.png")
    shapes = pipeline.shapes(load_config("quickstart", []))
    assert json.loads(picture.text[pipeline.KEYWORD]) == shapes, (
        "run: python docs/draw_training_pipeline.py"
    )


@pytest.mark.slow
def test_the_pages_of_the_interface_are_built_without_a_warning(tmp_path):
    pytest.importorskip("pdoc", reason="pip install -e '.[dev]'")
    result = subprocess.run(
        [sys.executable, ROOT / "docs" / "write_api.py", tmp_path],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "warn" not in result.stderr.lower()
    assert "Restorer" in (tmp_path / "fftdiff_jax.html").read_text(encoding="utf-8")
    for name in ("restore/restorer", "method/spectra", "config"):
        assert (tmp_path / "fftdiff_jax" / f"{name}.html").stat().st_size > 10_000


def anchors(page: Path) -> set[str]:
    """What a link may name of a page: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", LINKING, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_links_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([\w-]+))?\)", text):
        if "://" not in target:
            there = page.parent / target if target else page
            assert there.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(there), f"{page.name}: {target}#{anchor}"


@functools.cache
def flags_of(verb: str) -> set[str]:
    """The names of a verb's flags, as its help lists them."""
    command = [sys.executable, "-m", "fftdiff_jax", verb, "--help"]
    text = subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=True
    ).stdout
    names = set(re.findall(r"^  (?:-\w,)?--(?:\[no\])?(\w+)", text, re.MULTILINE))
    return names | {f"no{name}" for name in names} | {"help"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_flags_that_are_written(page: Path):
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for form, verb, rest in re.findall(
        r"(python -m experiments\.|fftdiff-jax |python -m fftdiff_jax )([^\s`]+)([^\n`]*)", text
    ):
        if verb == "VERB":
            continue
        if form.endswith("experiments."):
            assert (ROOT / "experiments" / f"{verb}.py").exists(), f"{page.name}: {form}{verb}"
            verb = "inspect" if verb == "inspect_spectra" else verb
        elif verb not in VERBS:
            verb, rest = "restore", f" {verb}{rest}"
        for flag in re.findall(r"(?<=\s)--([a-z_]+)", rest):
            assert flag in flags_of(verb) or flag == "config", f"{page.name}: {verb} --{flag}"


MODULES = {
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for tree in ("fftdiff_jax", "experiments")
    for path in (ROOT / tree).rglob("*.py")
}
# Endings of names that are files, not attributes of modules.
FILES = (
    "csv",
    "html",
    "json",
    "jsonl",
    "jpg",
    "lock",
    "md",
    "npz",
    "png",
    "py",
    "safetensors",
    "sh",
    "toml",
    "txt",
)
ALIASES = {"np": "numpy", "jnp": "jax.numpy"}


def find(name: str) -> object:
    """What a dotted name of a page means: of this package, by the end of a module's path, or of
    a library. LookupError where it means nothing, or more than one thing.
    """
    parts = name.split(".")
    fitting: list[str] = []
    for length in range(len(parts), 0, -1):
        path = ".".join(parts[:length])
        fitting = [m for m in sorted(MODULES) if m == path or m.endswith(f".{path}")]
        if fitting:
            break
    if len(fitting) > 1:
        raise LookupError(f"{name}: is in one of {', '.join(fitting)}")
    if fitting and length == len(parts):
        return fitting[0]  # a module; commands define flags and are not imported side by side
    if not fitting:
        fitting = [ALIASES.get(parts[0], parts[0])]
        if importlib.util.find_spec(fitting[0]) is None:
            raise LookupError(f"{name}: there is no such module")
    value: object = importlib.import_module(fitting[0])
    for part in parts[length:]:
        if not hasattr(value, part):
            raise LookupError(f"{name}: {fitting[0]} has no {part}")
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_functions_that_are_named_exist(page: Path):
    """`spectra.to_spectrum` and the like; what begins with a group of the configuration is one."""
    from fftdiff_jax.config import Config, to_dict

    fields = {f"{group}.{name}" for group, names in to_dict(Config()).items() for name in names}
    found, lost = 0, []
    for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", page.read_text(encoding="utf-8")):
        if name.removeprefix("config.") in fields or name.rpartition(".")[2] in FILES:
            continue
        try:
            find(name)
        except LookupError as error:
            lost.append(str(error))
        found += 1
    assert not lost
    assert found > 20 or page.name != "how_it_works.md"


def test_a_name_that_leads_nowhere_is_found():
    assert find("spectra.to_spectrum") is find("fftdiff_jax.method.spectra.to_spectrum")
    for name in ("spectrum.to_spectrum", "spectra.to_spektrum", "training.no_module.name"):
        with pytest.raises(LookupError):
            find(name)
