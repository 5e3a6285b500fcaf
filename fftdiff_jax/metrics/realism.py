"""How much restored photos look like photos: distances between the features of two sets.

Features are those of LPIPS's VGG16 after its second and third block, and every place of every photo
is a sample: texture and structure of some 14 and 40 pixels. Two distances compare their
distributions, and neither asks which restored photo belongs to which clean one:

* Frechet's, of two Gaussians with their means and covariances (Heusel et al. 2017, eq. 6). It is
  biased: compare sets of the same photos.
* the kernel distance, the squared maximum mean discrepancy under k(a, b) = (a.b/d + 1)^3 (Binkowski
  et al. 2018, eq. 3), unbiased, over places of different photos only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8
from scipy import linalg

from fftdiff_jax.files import replacing
from fftdiff_jax.metrics import frozen

BLOCKS = (2, 3)  # of VGG16, from 1
CHANNELS = (128, 256)
DISTANCES = tuple(f"{name}_{block}" for name in ("frechet", "kernel") for block in BLOCKS)
PLACES = 32  # of a photo, evenly spread, that the kernel distance looks at
RESAMPLES = 200  # of the bootstrap over photos
NETWORK = "vgg16"  # whose features they are


class Features(NamedTuple):
    """What is kept of one photo's features of one block."""

    size: Float[np.ndarray, ""]  # how many places it has
    total: Float[np.ndarray, " c"]  # their sum
    products: Float[np.ndarray, "c c"]  # the sum of their outer products
    places: Float[np.ndarray, "p c"]  # some of them


def features(photo: UInt8[np.ndarray, "h w 3"]) -> tuple[Features, ...]:
    """The features of one photo of each of `BLOCKS`, in bounded memory whatever its size."""
    params = frozen.load(NETWORK)
    sums = [np.zeros((c + 1, c + 1)) for c in CHANNELS]
    seen: list[list[np.ndarray]] = [[] for _ in BLOCKS]
    for part in frozen.in_blocks(photo[None]):
        for i, (block, found) in enumerate(
            zip(BLOCKS, _features(params, part.photos, part.size), strict=True)
        ):
            inner = part.counted(found, NETWORK, block - 1)
            flat = inner.reshape(-1, CHANNELS[i]).astype(np.float64)
            # With a constant among them, their count and sum are products too.
            flat = np.concatenate([flat, np.ones((len(flat), 1))], axis=1)
            sums[i] += flat.T @ flat
            seen[i].append(flat[:: max(1, len(flat) // (4 * PLACES)), :-1].astype(np.float32))
    kept = []
    for total, parts in zip(sums, seen, strict=True):
        places = np.concatenate(parts)
        chosen = np.linspace(0, len(places) - 1, PLACES).astype(int)
        kept.append(Features(total[-1, -1], total[-1, :-1], total[:-1, :-1], places[chosen]))
    return tuple(kept)


def save_features(path: Path, photos: Mapping[str, tuple[Features, ...]]) -> None:
    """Writes the features of several photos, each by its name, to one file.

    Raises:
      UserError: it cannot be written.
    """
    arrays = {
        f"{name}/{block}/{part}": np.asarray(values, np.float32)
        for name, features in photos.items()
        for block, found in zip(BLOCKS, features, strict=True)
        for part, values in found._asdict().items()
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load_features(path: Path) -> dict[str, tuple[Features, ...]]:
    """Reads what `save_features` wrote."""
    with np.load(path) as arrays:
        names = dict.fromkeys(key.split("/")[0] for key in arrays)
        return {
            name: tuple(
                Features(*(arrays[f"{name}/{block}/{part}"] for part in Features._fields))
                for block in BLOCKS
            )
            for name in names
        }


def frechet_distance(
    ours: Sequence[Features], theirs: Sequence[Features], weights: Sequence[float] | None = None
) -> float:
    """Frechet's distance between photos of one block; `weights` count photos several times."""
    weight = np.ones(len(ours)) if weights is None else np.asarray(weights, float)
    (mean_a, cov_a), (mean_b, cov_b) = (_gaussian(photos, weight) for photos in (ours, theirs))
    # The trace of (A B)^(1/2) is that of (A^(1/2) B A^(1/2))^(1/2), which is symmetric.
    values, vectors = linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    common = np.sqrt(np.maximum(linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    apart = np.square(mean_a - mean_b).sum()
    return float(max(apart + np.trace(cov_a) + np.trace(cov_b) - 2 * common, 0.0))


def kernel_distance(ours: Sequence[Features], theirs: Sequence[Features]) -> float:
    """The kernel distance between photos of one block; NaN of a single photo.

    Photo i of one set is never compared with photo i of the other, which shows the same scene.
    """
    count = len(ours)
    if count < 2:
        return float("nan")
    a, b = (np.stack([photo.places for photo in photos]) for photos in (ours, theirs))

    def between(x: np.ndarray, y: np.ndarray) -> float:
        """The mean kernel of places in different photos."""
        channels = x.shape[-1]
        values = (x.reshape(-1, channels) @ y.reshape(-1, channels).T / channels + 1) ** 3
        size, whole = x.shape[1], values.sum()
        same = sum(values[i : i + size, i : i + size].sum() for i in range(0, len(values), size))
        return (whole - same) / (count * (count - 1) * size**2)

    return float(between(a, a) + between(b, b) - 2 * between(a, b))


def compare(
    restored: Sequence[tuple[Features, ...]], clean: Sequence[tuple[Features, ...]]
) -> dict[str, float]:
    """Both distances between two sets of the same scenes, by the names of `DISTANCES`."""
    found = {}
    for i, block in enumerate(BLOCKS):
        ours, theirs = ([photo[i] for photo in photos] for photos in (restored, clean))
        found[f"frechet_{block}"] = frechet_distance(ours, theirs)
        found[f"kernel_{block}"] = kernel_distance(ours, theirs)
    return found


def intervals(
    restored: Sequence[tuple[Features, ...]], clean: Sequence[tuple[Features, ...]]
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals over photos of Frechet's distances, by their names."""
    count, rng = len(restored), np.random.default_rng(0)
    draws = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    ends = {}
    for i, block in enumerate(BLOCKS):
        ours, theirs = ([photo[i] for photo in photos] for photos in (restored, clean))
        found = [frechet_distance(ours, theirs, weights) for weights in draws]
        low, high = np.quantile(found, [0.025, 0.975])
        ends[f"frechet_{block}"] = (float(low), float(high))
    return ends


def _gaussian(
    photos: Sequence[Features], weights: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, "c c"]]:
    size, total, products = (
        sum(w * getattr(photo, name) for w, photo in zip(weights, photos, strict=True))
        for name in ("size", "total", "products")
    )
    mean = total / size
    return mean, products / size - np.outer(mean, mean)


@jax.jit
def _features(
    params: Mapping[str, Any], photos: UInt8[Array, "b h w 3"], size: Int[Array, " 2"]
) -> list[Float[Array, "b h2 w2 c"]]:
    with jax.default_matmul_precision("highest"):
        found = frozen.features(params, photos.astype(jnp.float32) / 255, size)
        return [found[block - 1] for block in BLOCKS]
