"""Restores every photo of a manifest and scores it: a table, a summary, pictures.

Photos are scored one by one, with every score of scores.py; what is done is kept (records.py), so
that an evaluation that was stopped goes on, and several processes can work on one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, PyTree, UInt8
from tqdm import tqdm

from fftdiff_jax.data.images import load_photo, photo_size, save_png
from fftdiff_jax.data.manifest import Manifest, Row, portable_path
from fftdiff_jax.data.pairs import Pair, load_pair, require_scorable, warn_of_equal_pairs
from fftdiff_jax.evaluation.records import PhotoResult, ResultFolder
from fftdiff_jax.evaluation.settings import EvaluationSettings
from fftdiff_jax.evaluation.summary import choose_shown, summarise, summarise_realism
from fftdiff_jax.files import write_text
from fftdiff_jax.metrics import calibration, frozen, realism
from fftdiff_jax.metrics.scores import SCORES, measured, score_photos
from fftdiff_jax.pixels import centre_crop, to_uint8
from fftdiff_jax.restore.shards import deal, file_size
from fftdiff_jax.restore.tiling import choose_side, overlap_of

SHOWN_SIDE = 480  # pixels of a photo's middle in before_after.png


Triple = tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]


class PhotoRestorer(Protocol):
    """What is evaluated; `restorer.Restorer` is one."""

    @property
    def default_steps(self) -> int:
        """Steps a draw when none are asked for."""

    @property
    def default_draws(self) -> int:
        """Draws a photo when no number is asked for."""

    def sample_float(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
    ) -> Float[np.ndarray, "n h w 3"]:
        """Single draws in [0, 1]."""


def evaluate(
    restorer: PhotoRestorer,
    manifest: Manifest,
    output_dir: str | Path,
    settings: EvaluationSettings = EvaluationSettings(),
    *,
    model: str = "",
) -> dict[str, Any] | None:
    """Scores `restorer` on the pairs of `manifest` and writes a result folder (see records.py).

    What is scored is the mean of the draws, rounded to 8 bits. Photos that are in the folder
    already are not restored again.

    Args:
      restorer: what is evaluated.
      manifest: pairs; select a split beforehand.
      output_dir: the result folder.
      settings: how.
      model: what tells this restorer from others, for example `weights_digest`; a folder with
        another one's results is refused.

    Returns:
      The summary (see `summary.summarise`), or None where other processes are still at work:
      the one that finds all parts done writes the whole.

    Raises:
      UserError: a file is missing or damaged, a pair has no rainy photo or differs in size, the
        folder holds other results or cannot be written; all but damage is found before the start.
    """
    settings = _with_defaults(settings, restorer)
    rows = manifest.rows[: settings.limit or None]
    scored = dataclasses.replace(manifest, rows=rows)
    require_scorable(scored)
    warn_of_equal_pairs(scored)
    folder = ResultFolder(Path(output_dir), settings.process)
    identity: dict[str, Any] = {
        "model": model,
        "manifest": manifest.path,
        "pairs": _pairs_digest(manifest),
        "steps": settings.steps,
        "draws": settings.draws,
        "seed": settings.seed,
        "lpips": [net for net in frozen.NETWORKS if net in settings.lpips_nets],
    }
    folder.open(identity, restart=settings.restart)
    _score_missing(restorer, manifest, rows, folder, settings)
    done = folder.read()
    if any(row.number not in done for row in rows):
        return None
    results = [done[row.number] for row in rows]
    folder.merge([done[number] for number in sorted(done)])
    summary = summarise(results, steps=identity["steps"], draws=identity["draws"])
    kept = [folder.features_path(row.number) for row in rows]
    # Folders of an earlier version have none of them.
    if realism.NETWORK in settings.lpips_nets and all(path.exists() for path in kept):
        summary |= summarise_realism([realism.load_features(path) for path in kept])
    summary |= {"manifest": manifest.path, "model": model, "seed": settings.seed}
    shown = [
        (result, load_photos(restorer, manifest, folder, result, settings))
        for result in choose_shown(results)
    ]
    _write_before_after(folder.folder / "before_after.png", shown)
    write_text(folder.folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _score_missing(
    restorer: PhotoRestorer,
    manifest: Manifest,
    rows: Sequence[Row],
    folder: ResultFolder,
    settings: EvaluationSettings,
) -> None:
    """Scores those of this process's rows that the folder lacks, and keeps them there."""
    done = folder.read()
    index, count = settings.process
    shards = deal([file_size(str(row.rainy)) for row in rows], count)
    own = [row for row, shard in zip(rows, shards, strict=True) if shard == index]
    todo = [row for row in own if row.number not in done]
    # The first call of each size of tiles compiles: that is no part of the time a photo takes.
    draws = min(settings.draws or 0, 1)
    sizes = {photo_size(str(row.rainy)) for row in todo}
    for side in {choose_side(*size, overlap_of(draws)) for size in sizes}:
        blank = np.zeros((side, side, 3), np.uint8)
        restorer.sample_float(blank, draws=draws, steps=settings.steps, seed=settings.seed)
    bar = tqdm(todo, desc="evaluate", unit="photo", disable=not settings.progress)
    total_gain = 0.0
    for number, row in enumerate(bar, start=1):
        pair = load_pair(manifest, row)
        result, restored = _score_row(restorer, manifest, row, pair, settings)
        if settings.save_photos:
            save_png(folder.photo_path(row.number, result.file), restored)
        if realism.NETWORK in settings.lpips_nets:
            photos = {"restored": restored, "rainy": pair.rainy, "clean": pair.clean}
            found = {name: realism.features(photo) for name, photo in photos.items()}
            realism.save_features(folder.features_path(row.number), found)
        folder.append(result)
        total_gain += result.gain
        bar.set_postfix_str(f"mean gain {total_gain / number:+.2f} dB")


def _score_row(
    restorer: PhotoRestorer,
    manifest: Manifest,
    row: Row,
    pair: Pair,
    settings: EvaluationSettings,
) -> tuple[PhotoResult, UInt8[np.ndarray, "h w 3"]]:
    """Restores and scores one pair; returns the result and the restored photo as scored."""
    rainy, clean = pair.rainy, pair.clean
    begin = time.perf_counter()
    samples = _sample(restorer, rainy, settings)
    seconds = time.perf_counter() - begin
    restored = _mean_photo(samples)
    scores = measured(settings.lpips_nets)
    missing = dict.fromkeys(SCORES, math.nan)
    height, width = clean.shape[:2]
    result = PhotoResult(
        file=portable_path(str(row.rainy), Path(manifest.path).parent),
        row=row.number,
        height=height,
        width=width,
        rainy=missing | score_photos(rainy, clean, scores),
        restored=missing | score_photos(restored, clean, scores),
        seconds=seconds,
        diagnostics=calibration.diagnose(rainy, samples, clean),
    )
    return result, restored


def weights_digest(params: PyTree) -> str:
    """A short digest of weights, equal for equal ones wherever they are kept."""
    import jax

    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:12]


def load_photos(
    restorer: PhotoRestorer,
    manifest: Manifest,
    folder: ResultFolder,
    result: PhotoResult,
    settings: EvaluationSettings,
) -> Triple:
    """Rainy, restored and clean photo of a result; restored again where it was not kept."""
    row = next(row for row in manifest.rows if row.number == result.row)
    pair = load_pair(manifest, row)
    rainy, clean = pair.rainy, pair.clean
    path = folder.photo_path(result.row, result.file)
    if path.exists():
        return rainy, load_photo(path), clean
    return rainy, _mean_photo(_sample(restorer, rainy, settings)), clean


def _with_defaults(settings: EvaluationSettings, restorer: PhotoRestorer) -> EvaluationSettings:
    """The settings with the restorer's own steps and draws where none are given, checked too."""
    return dataclasses.replace(
        settings,
        steps=restorer.default_steps if settings.steps is None else settings.steps,
        draws=restorer.default_draws if settings.draws is None else settings.draws,
    )


def _sample(
    restorer: PhotoRestorer, rainy: UInt8[np.ndarray, "h w 3"], settings: EvaluationSettings
) -> Float[np.ndarray, "n h w 3"]:
    steps, draws, seed = settings.steps, settings.draws, settings.seed
    return np.asarray(restorer.sample_float(rainy, draws=draws, steps=steps, seed=seed))


def _write_before_after(path: Path, shown: Sequence[tuple[PhotoResult, Triple]]) -> None:
    from fftdiff_jax import figures  # Matplotlib, which scores do without

    ranks = {1: [""], 2: ["worst: ", "best: "], 3: ["worst: ", "median: ", "best: "]}
    rows = []
    for rank, (result, (rainy, restored, clean)) in zip(ranks[len(shown)], shown, strict=True):
        photos = [centre_crop(photo, SHOWN_SIDE) for photo in (rainy, restored, clean)]
        label = f"{rank}{Path(result.file).name}\n{result.gain:+.2f} dB"
        captions = [
            f"{scores['psnr_y']:.2f} dB, SSIM {scores['ssim_y']:.3f}"
            for scores in (result.rainy, result.restored)
        ]
        rows.append((label, photos, [*captions, ""]))
    figures.save(path, figures.before_after(rows))


def _mean_photo(samples: Float[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    return to_uint8(samples.mean(axis=0, dtype=np.float32))


def _pairs_digest(manifest: Manifest) -> str:
    pairs = [[row.number, row.clean, row.rainy] for row in manifest.rows]
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:12]
