"""Larger networks that begin as smaller ones: the same function, with room to learn more.

Wider layers and further blocks are taken in so that nothing changes at first (as Net2Net does:
Chen, Goodfellow and Shlens 2016). What is new is either never read, or 0 where it is:

* hidden features of a block or an embedding start as a fresh network's, and what reads them
  starts at 0;
* new features between blocks start at 0, and what reads them starts as a fresh network's. An
  RMSNorm divides by a mean over more channels then, which its scale makes up for;
* a new block adds 0, as every fresh one does.

All of it has a gradient from the third step on at the latest.
"""

from __future__ import annotations

import re

import numpy as np
from flax import traverse_util
from jaxtyping import Array, Int, PyTree

_HIDDEN = ("conv_in", "condition_in", "modulation")  # layers that write hidden features
_READS_HIDDEN = ("conv_out", "condition_out")
_FURTHER_BLOCK = re.compile(r"(?:down|up)_\d+_[1-9]\d*")

Name = tuple[str, ...]


def grow(params: PyTree, fresh: PyTree) -> PyTree:
    """Parameters of the shapes of `fresh` that do what `params` do, to float32's rounding.

    Only widths and numbers of blocks may differ. Of anything else `params` come back as they are.
    """
    old, new = (traverse_util.flatten_dict(tree) for tree in (params, fresh))
    if not _holds(new, old):
        return params
    grown = {path: np.array(leaf) for path, leaf in new.items()}
    for path, leaf in old.items():
        grown[path] = _grow(path, np.asarray(leaf), grown[path])
    return traverse_util.unflatten_dict(grown)


def _holds(new: dict[Name, Array], old: dict[Name, Array]) -> bool:
    """Whether the new network is the old one with more channels or further blocks."""
    further = new.keys() - old.keys()
    return (
        old.keys() <= new.keys()
        and all(any(_FURTHER_BLOCK.fullmatch(part) for part in path) for path in further)
        and all(leaf.ndim == new[path].ndim for path, leaf in old.items())
        and all((np.array(leaf.shape) <= new[path].shape).all() for path, leaf in old.items())
    )


def _grow(path: Name, old: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    layer = path[-2]
    if path[-1] == "scale":
        grown = np.ones_like(fresh)
        grown[: len(old)] = old
        return grown * np.float32(np.sqrt(len(old) / len(fresh)))
    outputs = _places(old.shape[-1], fresh.shape[-1], groups=2 if layer == "modulation" else 1)
    if path[-1] == "bias":
        grown = np.zeros_like(fresh)
        grown[outputs] = old
        return grown
    # What a change of resolution reads is four pixels' channels, one pixel after the other.
    folded = 4 if layer.startswith("shrink") else 1
    inputs = _places(old.shape[-2], fresh.shape[-2], groups=folded)
    grown = fresh.copy()
    if layer in _READS_HIDDEN:
        grown[:] = 0
    elif layer not in _HIDDEN:
        grown[..., inputs, :] = 0
    grown[..., inputs[:, None], outputs] = old
    return grown


def _places(old: int, new: int, groups: int) -> Int[np.ndarray, " n"]:
    """Where the old channels lie among the new ones: at the beginning of each group."""
    return np.concatenate([np.arange(old // groups) + g * (new // groups) for g in range(groups)])
