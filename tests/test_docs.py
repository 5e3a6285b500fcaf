"""The documents against the code: what they name exists, and what is generated is up to date."""

import importlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from tests.commands import ROOT

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))


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
    from experiments._config import load_config

    pipeline = script("draw_training_pipeline")
    picture = Image.open(ROOT / "docs" / "training_pipeline.png")
    shapes = pipeline.shapes(load_config("quickstart", []))
    assert json.loads(picture.text[pipeline.KEYWORD]) == shapes, (
        "run: python docs/draw_training_pipeline.py"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_flags_that_are_written(page: Path):
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for command, rest in re.findall(r"python -m experiments\.(\w+)([^\n`]*)", text):
        source = ROOT / "experiments" / f"{command}.py"
        assert source.exists(), f"{page.name}: experiments.{command}"
        known = set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', source.read_text(encoding="utf-8")))
        known |= {f"no{name}" for name in known} | {"help"}
        for flag in re.findall(r"(?<=\s)--([a-z_]+)", rest):
            assert flag in known or flag == "config", f"{page.name}: {command} --{flag}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_functions_that_are_named_exist(page: Path):
    """`spectra.to_spectrum` and the like; what begins with a group of the configuration is one."""
    from fftdiff_jax.config import Config, to_dict

    fields = {f"{group}.{name}" for group, names in to_dict(Config()).items() for name in names}
    found = 0
    for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", page.read_text(encoding="utf-8")):
        parts = name.split(".")
        for length in range(len(parts) - 1, 0, -1):
            path = "/".join(parts[:length])
            if (ROOT / "fftdiff_jax" / f"{path}.py").exists():
                break
        else:
            continue
        if name.removeprefix("config.") in fields or parts[-1] in ("py", "md", "json", "csv"):
            continue
        value = importlib.import_module("fftdiff_jax." + ".".join(parts[:length]))
        for part in parts[length:]:
            assert hasattr(value, part), f"{page.name}: {name}"
            value = getattr(value, part)
        found += 1
    assert found > 20 or page.name != "how_it_works.md"
