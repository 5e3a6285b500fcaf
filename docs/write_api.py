"""Writes the pages of the Python interface from the docstrings, with pdoc.

python docs/write_api.py [FOLDER]    into build/api where no folder is given
"""

from __future__ import annotations

import pkgutil
import sys
import warnings
from pathlib import Path

import pdoc

import fftdiff_jax

# Each verb defines flags, and flags of two verbs are called the same: one of them a process.
LEFT_OUT = ("__main__", "commands")
# What pdoc cannot look up are types of jaxtyping, a NamedTuple within another one, and onnx, which
# few have installed; it shows them as they are written.
UNKNOWN = (
    r".* Import of (Bool|Complex|Float|Int|Key|PRNGKeyArray|PyTree|Shaped|UInt|ellipsis)\S* failed",
    r".* Import of (Block|onnx) failed",
    r"Failed to run TYPE_CHECKING code .* No module named 'onnx'",
)


def write(folder: Path) -> None:
    """Writes one page a module, and an index with a search."""
    for name in fftdiff_jax.__all__:  # imported when used, which pdoc does not wait for
        setattr(fftdiff_jax, name, getattr(fftdiff_jax, name))
    for words in UNKNOWN:
        warnings.filterwarnings("ignore", words)
    pdoc.render.configure(docformat="google")
    rooms = [m.name for m in pkgutil.iter_modules(fftdiff_jax.__path__) if m.name not in LEFT_OUT]
    pdoc.pdoc("fftdiff_jax", *(f"fftdiff_jax.{room}" for room in rooms), output_directory=folder)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "build/api")
    write(target)
    print(target / "index.html")
