"""Draws that are the best photo plus Gaussian noise of its error's spectrum: what is to be beaten.

    python -m experiments.gaussian_draws rain800.csv

The noise has the mean power and the covariance of R, G and B that errors of the best photo have at
each frequency, measured on centre crops of the train split; it is scored on those of the val split,
as `compare` scores draws.
"""

from __future__ import annotations

import json
import sys

import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex, Float

from fftdiff_jax import Restorer
from fftdiff_jax.commands import shared
from fftdiff_jax.evaluation import screening
from fftdiff_jax.method import spectra

SIDE = 192
RINGS = 64  # of frequencies, from 0 to the corner
CROPS = 32  # of each split
DRAWS = 8  # of each crop


def ring_of() -> np.ndarray:
    """The ring of each frequency of a crop."""
    frequency = spectra.radial_frequency(SIDE, SIDE)[..., 0]
    return np.minimum((frequency / frequency.max() * RINGS).astype(int), RINGS - 1)


def error_roots(errors: Float[np.ndarray, "n h w 3"]) -> Complex[np.ndarray, "r 3 3"]:
    """Roots of the covariance of R, G and B of errors, of each ring of frequencies."""
    spectrum, ring = np.asarray(spectra.to_spectrum(jnp.asarray(errors))), ring_of()
    roots = []
    for number in range(RINGS):
        numbers = spectrum[:, ring == number].reshape(-1, 3)
        covariance = numbers.T @ numbers.conj() / len(numbers)
        roots.append(np.linalg.cholesky(covariance + 1e-12 * np.eye(3)))
    return np.stack(roots)


def draw(
    best: Float[np.ndarray, "n h w 3"],
    roots: Complex[np.ndarray, "r 3 3"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "n h w 3"]:
    """One draw of each photo."""
    white = spectra.to_spectrum(jnp.asarray(rng.standard_normal(best.shape), jnp.float32))
    noise = np.einsum("hwij,nhwj->nhwi", roots[ring_of()], np.asarray(white))
    return np.clip(best + np.asarray(spectra.to_photo(noise)), 0, 1)


def best_photos(restorer: Restorer, crops: screening.Crops) -> Float[np.ndarray, "n h w 3"]:
    """The best photo of each crop."""
    return np.stack([restorer(crop.astype(np.float32) / 255) for crop in crops.rainy])


def main(manifest: str) -> None:
    """Prints the scores of the weights in the box."""
    shared.prepare_jax("")
    restorer = Restorer.pretrained()
    train, val = (
        screening.load_crops(shared.read_pairs(manifest, split), SIDE, CROPS)
        for split in ("train", "val")
    )
    errors = train.clean.astype(np.float32) / 255 - best_photos(restorer, train)
    roots = error_roots(errors)
    best, rng = best_photos(restorer, val), np.random.default_rng(0)
    draws = np.stack([draw(best, roots, rng) for _ in range(DRAWS)])
    print(json.dumps(screening.score_draws(draws, val.clean), indent=1))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
