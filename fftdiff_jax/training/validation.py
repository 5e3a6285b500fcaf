"""Scores and sample pictures while a run goes on, from centre crops of val photos."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import PyTree, UInt8

from fftdiff_jax.config import Config
from fftdiff_jax.data.manifest import Manifest
from fftdiff_jax.data.pairs import load_pair
from fftdiff_jax.method.method import make_method
from fftdiff_jax.metrics.scores import SCORES, mean_scores
from fftdiff_jax.pixels import centre_crop, to_uint8
from fftdiff_jax.restore.tile_programs import make_restored


class Validation:
    """Scores the EMA weights on centre crops of val photos: what a run trains, restored once."""

    def __init__(self, config: Config, manifest: Manifest) -> None:
        """Reads `training.evaluate_photos` pairs, evenly spread over the manifest.

        Raises:
          UserError: a pair cannot be used.
        """
        rows = manifest.rows[:: max(1, len(manifest) // config.training.evaluate_photos)]
        rows = rows[: config.training.evaluate_photos]
        pairs = [load_pair(manifest, row) for row in rows]
        sides = (side for pair in pairs for side in pair.clean.shape[:2])
        side = min(config.training.evaluate_crop, *sides)
        self._clean = np.stack([centre_crop(pair.clean, side) for pair in pairs])
        self._rainy = np.stack([centre_crop(pair.rainy, side) for pair in pairs])
        sampling = config.sampling
        if config.training.freeze_first:  # then nothing but a draw changes
            sampling = dataclasses.replace(sampling, draws=1)
        self._restore = jax.jit(make_restored(make_method(config), sampling))

    def score(
        self, params: PyTree, stopped: Callable[[], bool] = lambda: False
    ) -> dict[str, float] | None:
        """Mean PSNR on Y, and its gain over the rainy crops, in dB; None once `stopped`."""
        restored = self._run(params, stopped=stopped)
        if restored is None:
            return None
        psnr_y = _mean_psnr_y(restored, self._clean)
        return {"psnr_y": psnr_y, "gain_y": psnr_y - _mean_psnr_y(self._rainy, self._clean)}

    def picture(self, params: PyTree, count: int = 4) -> UInt8[np.ndarray, "h w 3"]:
        """Rainy, restored and clean crops side by side, a row each."""
        restored = self._run(params, count)
        assert restored is not None
        columns = (self._rainy[:count], restored, self._clean[:count])
        return np.concatenate(np.concatenate(columns, axis=2))

    def _run(
        self,
        params: PyTree,
        count: int | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> UInt8[np.ndarray, "n h w 3"] | None:
        params = jax.device_put(params, jax.local_devices()[0])
        restored = []
        # One by one: memory stays small, and one compilation serves both callers.
        for i, rainy in enumerate(self._rainy[:count]):
            tile_origins = np.asarray([[i, 0, 0]], np.int32)  # draw number, top row, left column
            photo = self._restore(
                params, rainy[None].astype(np.float32) / 255, tile_origins, jax.random.key(0)
            )
            restored.append(to_uint8(np.asarray(photo[0])))
            if stopped():
                return None
        return np.stack(restored)


def _mean_psnr_y(
    photos: UInt8[np.ndarray, "n h w 3"], clean: UInt8[np.ndarray, "n h w 3"]
) -> float:
    return mean_scores(photos, clean, [SCORES["psnr_y"]])["psnr_y"]
