"""Removes rain from photos.

    fftdiff-jax photo.jpg                      into restored/photo.jpg
    fftdiff-jax photos 'more/*.jpg' -o out     folders and patterns, into out/
    fftdiff-jax --checkpoint=runs/mine photos

A folder is searched with all its subfolders; names, sizes and formats stay. The input is never
written to, and no file is replaced but results of the same photos. A photo that cannot be restored
is named at the end, and the exit code is 1; what of a photo's file is not kept is said as well.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from fftdiff_jax.commands import shared
from fftdiff_jax.commands.command_line import explain
from fftdiff_jax.errors import UserError

if TYPE_CHECKING:
    from fftdiff_jax.restore import folders
    from fftdiff_jax.restore.restorer import Restorer

_CHECKPOINT = shared.define_checkpoint()
_INPUT = flags.DEFINE_string(
    "input",
    None,
    "a photo, a folder of photos, or a pattern like 'a/*.jpg'; what is no flag is one too",
    short_name="i",
)
_OUTPUT = shared.define_output("folder for the restored photos; made when missing", "restored")
_STEPS = flags.DEFINE_integer(
    "steps",
    None,
    "network evaluations a draw; left out: the weights' own (1)",
    lower_bound=1,
)
_DRAWS = flags.DEFINE_integer(
    "draws",
    None,
    "draws whose mean is the photo; 0: the best photo, which is not drawn; left out: 0",
    lower_bound=0,
)
_SEED = flags.DEFINE_integer("seed", 0, "of the draws", lower_bound=0)
_MIRROR = shared.define_mirror()
_REALISM = shared.define_realism()
_UNCERTAINTY = flags.DEFINE_bool(
    "uncertainty",
    False,
    "also write NAME.uncertainty.png: where draws (8, if no other number is asked for) differ: "
    "from dark blue to yellow over the photo in grey, with a legend in grey levels",
)
_SKIP_EXISTING = flags.DEFINE_bool(
    "skip_existing", False, "leave photos alone that are in --output already"
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "replace files in --output that are no results of the same photos, too"
)
_PROGRESS = flags.DEFINE_bool("progress", True, "show a progress bar")
_COMPILATION_CACHE = shared.define_compilation_cache()


def main(words: list[str]) -> int:
    """Restores what the words and --input name; 1 when a photo could not be."""
    from fftdiff_jax.restore import folders

    open_restorer = shared.restorer_opener(_CHECKPOINT.value)
    patterns = [_INPUT.value, *words] if _INPUT.value else words
    if not patterns:
        raise UserError("no photo is named; fftdiff-jax PHOTO_OR_FOLDER (see --help)")
    output = Path(shared.require("output", _OUTPUT.value)).expanduser().absolute()
    if _UNCERTAINTY.value and _DRAWS.value in (0, 1):
        raise UserError("--uncertainty is the spread of several draws; give --draws=2 or more")
    if _UNCERTAINTY.value and _REALISM.value == 0:
        raise UserError("--uncertainty: with --realism=0 every draw is the same photo")
    planned = _plan(patterns, output)
    waiting = [job for job in planned if not (_SKIP_EXISTING.value and _is_there(job))]
    if _SKIP_EXISTING.value and _OVERWRITE.value:
        raise UserError("--skip_existing and --overwrite: give one of them")
    if len(waiting) < len(planned):
        print(f"{len(planned) - len(waiting)} are there already")
    if not waiting:
        print(f"nothing is left to restore into {output}")
        return 0
    wanted = sum(not job.refusal for job in waiting)
    print(f"restoring {folders.photos(wanted)} into {output}", flush=True)
    from fftdiff_jax.restore.progress import PhotoBars

    outcomes: list[tuple[folders.Job, folders.Outcome]] = []
    with PhotoBars(len(waiting), shown=_PROGRESS.value) as bars:
        shared.prepare_jax(_COMPILATION_CACHE.value)
        restorer = _sampling_as_asked(open_restorer()).watched(bars.tiles)
        draws = _DRAWS.value
        if not _UNCERTAINTY.value:  # which has a number of its own
            draws = shared.draws_asked(draws, _STEPS.value, _REALISM.value)
        ended = False
        try:
            for job in folders.until_interrupted(waiting):
                bars.begin(job.source.name)
                outcome = folders.restore(
                    restorer,
                    job,
                    draws=draws,
                    steps=_STEPS.value,
                    seed=_SEED.value,
                    spread=_UNCERTAINTY.value,
                    explain=explain,
                )
                outcomes.append((job, outcome))
                bars.end()
            ended = True
        finally:  # however it ends, what was not restored is said
            bars.close()
            _report(outcomes, len(waiting), output, ended)
    return 1 if any(outcome.refusal for _, outcome in outcomes) else 0


def _report(
    outcomes: Sequence[tuple[folders.Job, folders.Outcome]], count: int, output: Path, ended: bool
) -> None:
    from fftdiff_jax.restore import folders

    if not ended:
        total = folders.photos(count)
        print(f"stopped after {len(outcomes)} of {total}; --skip_existing goes on from here")
    else:
        restored = sum(not outcome.refusal for _, outcome in outcomes)
        print(f"{restored} restored: {output}")
    for job, outcome in outcomes:
        source = "\\n".join(str(job.source).splitlines())
        for line in outcome.warnings:
            print(f"warning: {source}: {line}")
        if outcome.not_kept:
            print(f"not kept: {source}: {'; '.join(outcome.not_kept)}")
    for _, outcome in outcomes:
        if outcome.refusal:
            print(f"not restored: {outcome.refusal}")


def _sampling_as_asked(restorer: Restorer) -> Restorer:
    asked = {"mirror": _MIRROR.value, "realism": _REALISM.value}
    changes = {name: value for name, value in asked.items() if value is not None}
    return restorer.with_sampling(**changes) if changes else restorer


def _plan(patterns: list[str], output: Path) -> list[folders.Job]:
    """What is restored to where, of all patterns; `UserError` where two would share a place."""
    from fftdiff_jax.restore import folders

    maps, keep = _UNCERTAINTY.value, _SKIP_EXISTING.value
    jobs = [job for p in patterns for job in folders.plan(p, output, maps=maps, keep=keep)]
    jobs = list(dict.fromkeys(jobs))
    folders.require_own_targets(jobs)
    places = [job.target for job in jobs] + [job.spread for job in jobs if maps]
    twice = [place for place, count in collections.Counter(places).items() if count > 1]
    if twice:
        raise UserError(f"two photos would share {twice[0]}; restore them into two folders")
    if not _OVERWRITE.value:
        folders.require_own_results(jobs, maps, keep)
    return jobs


def _is_there(job: folders.Job) -> bool:
    return job.target.exists() and (job.spread.exists() or not _UNCERTAINTY.value)
