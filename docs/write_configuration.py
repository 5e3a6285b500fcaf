"""Writes docs/configuration.md from the dataclasses of fftdiff_jax/config.py and their comments.

python docs/write_configuration.py
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import tokenize
import typing
from pathlib import Path
from typing import Any

from fftdiff_jax import config as configuration
from fftdiff_jax.commands import config_flags
from fftdiff_jax.config import Config
from fftdiff_jax.files import write_text
from fftdiff_jax.ranges import Lengths

TARGET = Path(__file__).with_name("configuration.md")
HEAD = """# Configuration

<!-- Written by docs/write_configuration.py; do not edit. -->

A configuration is a tree of frozen dataclasses (`fftdiff_jax/config.py`, the only place with
defaults). A recipe is a Python file with a function `get_config()`: one of `fftdiff_jax/recipes`,
or one of your own:

```bash
fftdiff-jax train --config=quickstart --workdir=runs/mine      # by its name, in any folder
fftdiff-jax train --config=my_recipe.py --workdir=runs/mine    # a file
```

Any field can be set on the command line. A name or a value that does not fit is refused in one
line before anything is read or written, and the nearest name is suggested. Ranges include their
ends unless they say otherwise; they hold for files of weights and for runs from elsewhere too:

```bash
fftdiff-jax train --config=quickstart --workdir=runs/mine \\
    --config.training.steps=5000 --config.model.widths='(64, 96, 128)' --config.data.augment=false
```

The tree is written to `config.json` in the run's folder and into every checkpoint, so a restorer
needs nothing but the checkpoint. A run is resumed with the configuration that it began with; what
may differ then is listed in `MAY_CHANGE` of `fftdiff_jax/training/run_setup.py`.
"""


@dataclasses.dataclass(frozen=True)
class Field:
    """One line of a table."""

    name: str
    kind: str
    default: str
    comment: str


def document() -> str:
    """The whole page."""
    sections = [HEAD]
    for group in dataclasses.fields(Config):
        value = getattr(Config(), group.name)
        kind = type(value)
        sections.append(f"## {group.name}\n\n{inspect.getdoc(kind)}\n")
        rows = [
            f"| `{group.name}.{f.name}` | {f.kind} | `{f.default}` | {f.comment} |"
            for f in _fields(kind)
        ]
        sections.append(
            "| field | type | default | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
        )
    sections.append("## What each recipe sets\n\nEverything else has its default.\n")
    for path in sorted(config_flags.RECIPES.glob("[a-z]*.py")):
        sections.append(_recipe(path.stem))
    return "\n".join(sections)


def _fields(kind: type) -> list[Field]:
    """The fields of a dataclass with the comments beside them, or in the lines before them."""
    source = inspect.getsource(kind)
    lines = source.splitlines()
    comments: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("# ")
    found = []
    hints = typing.get_type_hints(kind, include_extras=True)
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    for node in definition.body:
        if not isinstance(node, ast.AnnAssign) or node.value is None:
            continue
        assert isinstance(node.target, ast.Name)
        beside = [
            comments[n] for n in range(node.lineno, (node.end_lineno or 0) + 1) if n in comments
        ]
        first = node.lineno - 1
        before: list[str] = []
        while first in comments and lines[first - 1].lstrip().startswith("#"):
            before.insert(0, comments[first])
            first -= 1
        default = ast.unparse(node.value).replace("'", '"')
        text = " ".join([*before, *beside]).replace("|", "\\|")
        found.append(Field(node.target.id, _kind(hints[node.target.id]), default, text))
    return found


def _kind(hint: Any) -> str:
    """A field's type and its range; of a choice, all that can be chosen."""
    limits: list[Any] = []
    if typing.get_origin(hint) is typing.Annotated:
        hint, *limits = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        items = _kind(typing.get_args(hint)[0])
        lengths = [limit for limit in limits if isinstance(limit, Lengths)]
        return " ".join(["list of", *map(str, lengths), f"numbers: {items}"])
    return " ".join([hint.__name__, *map(str, limits)])


def _recipe(name: str) -> str:
    config = config_flags.load_config(name, [])
    said = inspect.getdoc(_module(name)) or ""
    changed = _changes(configuration.to_dict(config), configuration.to_dict(Config()))
    rows = "\n".join(f"| `{path}` | `{value}` |" for path, value in changed)
    return f"### {name}\n\n{said.splitlines()[0]}\n\n| field | value |\n|---|---|\n{rows}\n"


def _module(name: str) -> Any:
    import importlib

    return importlib.import_module(f"fftdiff_jax.recipes.{name}")


def _changes(
    tree: dict[str, Any], defaults: dict[str, Any], group: str = ""
) -> list[tuple[str, str]]:
    found = []
    for name, value in tree.items():
        if isinstance(value, dict):
            found += _changes(value, defaults[name], f"{group}{name}.")
        elif value != defaults[name]:
            shown = f'"{value}"' if isinstance(value, str) else str(value)
            found.append((group + name, shown))
    return found


if __name__ == "__main__":
    write_text(TARGET, document())
    print(TARGET)
