"""Restores every photo of a manifest and scores it: a table, a summary, pictures.

Photos are scored as psnr_ssim.py says, one by one; what is done is kept (results.py), so that an
evaluation that was stopped goes on, and several processes can share one.
"""

from __future__ import annotations

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
from fftdiff_jax.data.pairs import load_pair
from fftdiff_jax.errors import UserError
from fftdiff_jax.evaluation.records import PERCEPTUAL, PhotoResult, ResultFolder
from fftdiff_jax.evaluation.summary import choose_shown, summarise
from fftdiff_jax.files import write_text
from fftdiff_jax.metrics import calibration, psnr_ssim
from fftdiff_jax.metrics.lpips import (
    LEAST_PERCEPTUAL_SIDE,
    PERCEPTUAL_NETS,
    lpips_photo,
    perceptual_params,
)
from fftdiff_jax.restore.tiling import choose_side

SHOWN_SIDE = 480  # pixels of a photo's middle in before_after.png


Triple = tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]


class PhotoRestorer(Protocol):
    """What is evaluated; `restoration.Restorer` is one."""

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
    *,
    steps: int | None = None,
    draws: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    lpips: bool = True,
    lpips_nets: Sequence[str] = ("alexnet",),
    model: str = "",
    save_photos: bool = True,
    restart: bool = False,
    process_index: int = 0,
    process_count: int = 1,
    progress: bool = False,
) -> dict[str, Any] | None:
    """Scores `restorer` on the pairs of `manifest` and writes a result folder (see results.py).

    What is scored is the mean of `draws` draws of `steps` steps, rounded to 8 bits. Photos that are
    in the folder already are not restored again.

    Args:
      restorer: what is evaluated.
      manifest: pairs; select a split beforehand.
      output_dir: the result folder.
      steps, draws: as for `restorer`; None takes its own.
      limit: the first so many pairs only; None or 0 takes all. A larger limit goes on.
      seed: of the draws; every photo is drawn with the same one.
      lpips: whether LPIPS is measured too.
      lpips_nets: with which networks, of `lpips.PERCEPTUAL_NETS`.
      model: what tells this restorer from others, for example `weights_digest`; a folder with
        another one's results is refused.
      save_photos: keep the restored photos in restored/.
      restart: discard what the folder holds.
      process_index, process_count: the share of the pairs that is restored here. The process that
        finds all shares done writes the whole; the others return None.
      progress: show a progress bar.

    Returns:
      The summary (see `summary.summarise`), or None where other processes are still at work.

    Raises:
      UserError: a file is missing or damaged, a pair has no rainy photo or differs in size, the
        folder holds other results or cannot be written; all but damage is found before the start.
    """
    steps = restorer.default_steps if steps is None else steps
    draws = restorer.default_draws if draws is None else draws
    for name, value in (("steps", steps), ("draws", draws)):
        if value < 1:
            raise UserError(f"{name} is {value}; at least 1 is needed")
    if not 0 <= process_index < process_count:
        raise UserError(f"process {process_index} of {process_count}: count from 0")
    if restart and process_count > 1:
        raise UserError("--restart would discard what other processes do; empty the folder first")
    nets = [net for net in PERCEPTUAL_NETS if lpips and net in lpips_nets]
    for net in lpips_nets if lpips else ():
        perceptual_params(net)  # refuses what it does not know
    rows = manifest.rows[: limit or None]
    _check_pairs(manifest, rows)
    folder = ResultFolder(Path(output_dir), (process_index, process_count))
    settings = {
        "model": model,
        "manifest": manifest.path,
        "pairs": _pairs_digest(manifest),
        "steps": steps,
        "draws": draws,
        "seed": seed,
        "lpips": nets,
    }
    folder.open(settings, restart=restart)
    done = folder.read()
    share = [row for row in rows[process_index::process_count] if row.number not in done]
    if share:
        # The first call of each size of tiles compiles: that is no part of the time a photo takes.
        for side in {choose_side(*photo_size(str(row.rainy))) for row in share}:
            blank = np.zeros((side, side, 3), np.uint8)
            restorer.sample_float(blank, draws=1, steps=steps, seed=seed)
    bar = tqdm(share, desc="evaluate", unit="photo", disable=not progress)
    total_gain = 0.0
    for number, row in enumerate(bar, start=1):
        result, restored = score_row(
            restorer, manifest, row, steps=steps, draws=draws, seed=seed, lpips_nets=nets
        )
        if save_photos:
            save_png(folder.photo_path(row.number, result.file), restored)
        folder.append(result)
        total_gain += result.gain
        bar.set_postfix_str(f"mean gain {total_gain / number:+.2f} dB")
    done = folder.read()
    if any(row.number not in done for row in rows):
        return None
    results = [done[row.number] for row in rows]
    folder.merge([done[number] for number in sorted(done)])
    summary = summarise(results, steps=steps, draws=draws)
    summary |= {"manifest": manifest.path, "model": model, "seed": seed}
    shown = [
        (r, load_photos(restorer, manifest, folder, r, steps=steps, draws=draws, seed=seed))
        for r in choose_shown(results)
    ]
    _write_before_after(folder.folder / "before_after.png", shown)
    write_text(folder.folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def score_row(
    restorer: PhotoRestorer,
    manifest: Manifest,
    row: Row,
    *,
    steps: int,
    draws: int,
    seed: int = 0,
    lpips_nets: Sequence[str] = ("alexnet",),
) -> tuple[PhotoResult, UInt8[np.ndarray, "h w 3"]]:
    """Restores and scores one pair; returns the result and the restored photo as scored.

    Raises:
      UserError: a photo cannot be read.
    """
    pair = load_pair(manifest, row)
    rainy, clean = pair.rainy, pair.clean
    begin = time.perf_counter()
    samples = np.asarray(restorer.sample_float(rainy, draws=draws, steps=steps, seed=seed))
    seconds = time.perf_counter() - begin
    restored = _mean_photo(samples)
    # Draws of one step are one photo, and say nothing of a spread.
    drawn = len(samples) > 1 and not np.array_equal(samples[0], samples[1])
    height, width = clean.shape[:2]
    result = PhotoResult(
        file=portable_path(str(row.rainy), Path(manifest.path).parent),
        row=row.number,
        height=height,
        width=width,
        rainy=_scores(rainy, clean, lpips_nets),
        restored=_scores(restored, clean, lpips_nets),
        seconds=seconds,
        diagnostics=calibration.diagnose(rainy, samples if drawn else samples[:1], clean),
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
    *,
    steps: int,
    draws: int,
    seed: int,
) -> Triple:
    """Rainy, restored and clean photo of a result; restored again where it was not kept."""
    row = next(row for row in manifest.rows if row.number == result.row)
    pair = load_pair(manifest, row)
    rainy, clean = pair.rainy, pair.clean
    path = folder.photo_path(result.row, result.file)
    if path.exists():
        return rainy, load_photo(path), clean
    samples = np.asarray(restorer.sample_float(rainy, draws=draws, steps=steps, seed=seed))
    return rainy, _mean_photo(samples), clean


def _write_before_after(path: Path, shown: Sequence[tuple[PhotoResult, Triple]]) -> None:
    from fftdiff_jax import figures  # Matplotlib, which scores do without

    ranks = {1: [""], 2: ["worst: ", "best: "], 3: ["worst: ", "median: ", "best: "]}
    rows = []
    for rank, (result, (rainy, restored, clean)) in zip(ranks[len(shown)], shown, strict=True):
        top, left = (max(0, (side - SHOWN_SIDE) // 2) for side in clean.shape[:2])
        middle = np.s_[top : top + SHOWN_SIDE, left : left + SHOWN_SIDE]
        label = f"{rank}{Path(result.file).name}\n{result.gain:+.2f} dB"
        captions = [
            f"{scores['psnr_y']:.2f} dB, SSIM {scores['ssim_y']:.3f}"
            for scores in (result.rainy, result.restored)
        ]
        rows.append((label, [rainy[middle], restored[middle], clean[middle]], [*captions, ""]))
    figures.save(path, figures.before_after(rows))


def _mean_photo(samples: Float[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    mean = samples.mean(axis=0, dtype=np.float32)
    return np.round(np.clip(mean, 0, 1) * 255).astype(np.uint8)


def _scores(
    photo: UInt8[np.ndarray, "h w 3"], clean: UInt8[np.ndarray, "h w 3"], lpips_nets: Sequence[str]
) -> dict[str, float]:
    scores = psnr_ssim.score_photos(photo, clean)
    large_enough = min(clean.shape[:2]) >= LEAST_PERCEPTUAL_SIDE
    for net, name in PERCEPTUAL.items():
        measured = net in lpips_nets and large_enough
        scores[name] = lpips_photo(photo, clean, net) if measured else math.nan
    return scores


def _check_pairs(manifest: Manifest, rows: Sequence[Row]) -> None:
    """Finds before the first photo what would stop the evaluation hours later."""
    if not rows:
        raise UserError(f"{manifest.path}: no pairs to evaluate")
    manifest.require_files()
    for row in rows:
        if row.rainy is None:
            raise UserError(
                f"{manifest.where(row)}: has no rainy photo to restore; "
                "choose a --split of whole pairs"
            )
        try:
            rainy, clean = photo_size(row.rainy), photo_size(row.clean)
        except UserError as error:
            raise UserError(f"{manifest.where(row)}: {error}") from error
        if rainy != clean:
            raise UserError(
                f"{manifest.where(row)}: {row.rainy} has {rainy[1]}x{rainy[0]} pixels and its "
                f"clean photo {clean[1]}x{clean[0]}; correct the pair, nothing is resized"
            )
        if min(rainy) < psnr_ssim.WINDOW_SIZE:
            raise UserError(
                f"{manifest.where(row)}: {row.rainy} has {rainy[1]}x{rainy[0]} pixels; "
                f"SSIM needs at least {psnr_ssim.WINDOW_SIZE} a side, remove the row"
            )


def _pairs_digest(manifest: Manifest) -> str:
    pairs = [[row.number, row.clean, row.rainy] for row in manifest.rows]
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:12]
