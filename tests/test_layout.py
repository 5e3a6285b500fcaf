"""The house: imports run one way, from the commands down to the errors, and never in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.commands import ROOT

PACKAGE = ROOT / "fftdiff_jax"
# Each room may import from those before it and from itself.
ROOMS = (
    ("errors", "ranges", "config", "files", "pixels", "words"),
    ("method",),
    ("metrics", "figures", "data"),
    ("restore",),
    ("evaluation",),
    ("training",),
    ("commands", "recipes", "__main__", "__init__"),
)
RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """The modules of this package that a file imports, late imports included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import module` means the module, `from module import name` its home.
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else node.module for name in whole}
    return found & FILES.keys()


def only_for_types(path: Path) -> set[str]:
    """What is imported under `if TYPE_CHECKING`, which no program runs."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            inner = ast.Module(node.body, [])
            found |= {n.module for n in ast.walk(inner) if isinstance(n, ast.ImportFrom)}
    return {name for name in found if name}


def room(name: str) -> str:
    return [*name.split("."), "__init__"][1]


@pytest.mark.parametrize("name", FILES)
def test_imports_run_one_way(name: str):
    for other in imports(FILES[name]) - only_for_types(FILES[name]):
        assert RANK[room(other)] <= RANK[room(name)], f"{name} reaches up to {other}"


def test_pictures_are_opened_as_known_formats_alone():
    """Pillow left to itself takes a file for PostScript, and runs Ghostscript on it."""
    for path in FILES.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open":
                assert "formats" in {keyword.arg for keyword in node.keywords}, path


def test_no_circle():
    graph = {name: imports(path) - only_for_types(path) - {name} for name, path in FILES.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_method_knows_only_jax_and_the_configuration():
    for name, path in FILES.items():
        if room(name) != "method":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for other in names:
                assert other.split(".")[0] not in ("scipy", "PIL", "orbax", "optax", "absl"), name
