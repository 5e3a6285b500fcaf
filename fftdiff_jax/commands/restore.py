"""Removes rain from photos.

    fftdiff-jax photo.jpg                      into restored/photo.jpg
    fftdiff-jax photos 'more/*.jpg' -o out     folders and patterns, into out/
    fftdiff-jax rain.mp4                       a video, with its sound
    fftdiff-jax --checkpoint=runs/mine photos
    fftdiff-jax --list=photos.txt --shard=3/64 -o out    one of 64 processes that share the photos

A folder is searched with all its subfolders; names, sizes and formats stay. The input is never
written to, and no file is replaced but results of the same photos. A photo that cannot be restored
is named at the end, and the exit code is 1; what of a photo's file is not kept is said as well.
Shards go on by themselves where they were stopped; the one that ends last adds all of them up.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from fftdiff_jax.commands import shared
from fftdiff_jax.commands.command_line import explain
from fftdiff_jax.errors import UserError
from fftdiff_jax.words import one_line

VARIANTS = 3  # single draws that are written, at most

if TYPE_CHECKING:
    from fftdiff_jax.restore import folders, one_by_one
    from fftdiff_jax.restore.restorer import Restorer
    from fftdiff_jax.restore.shared_work import SharedWork

_CHECKPOINT = shared.define_checkpoint()
_INPUT = flags.DEFINE_string(
    "input",
    None,
    "a photo, a folder of photos, or a pattern like 'a/*.jpg'; what is no flag is one too",
    short_name="i",
)
_LIST = flags.DEFINE_string(
    "list",
    None,
    "a file that names photos: a path a line, or a .csv or .parquet with a column of paths; "
    "absolute, or relative to the file's folder",
)
_COLUMN = flags.DEFINE_string(
    "column",
    None,
    "of a --list that is a table; left out: image_rain_filepath, else image_filepath, else the "
    "only one",
)
_SHARD = shared.define_shard()
_SUMMARY = flags.DEFINE_bool(
    "summary", False, "restore nothing, and add up what the shards of --shard=0/N have done so far"
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
    "0 or left out: the best photo, which is not drawn; 1: a photo that is drawn; 2 and more: the "
    "best photo, beside it as NAME.variant1 to 3 those of so many draws that differ most, and "
    "NAME.uncertainty.png",
    lower_bound=0,
)
_SEED = flags.DEFINE_integer("seed", 0, "of the draws", lower_bound=0)
_MIRROR = shared.define_mirror()
_REALISM = shared.define_realism()
_UNCERTAINTY = flags.DEFINE_bool(
    "uncertainty",
    False,
    "also write NAME.uncertainty.png: where 8 draws differ, from dark blue to yellow over the "
    "photo in grey, with a legend in grey levels",
)
_STRENGTH = flags.DEFINE_float(
    "strength",
    1.0,
    "how much of what the network does is taken over: from 0 (the photo as it is) to 1 (all)",
    0.0,
    1.0,
)
_PROTECT = flags.DEFINE_string(
    "protect",
    None,
    "a mask: what is white in it stays as it is, black is restored, grey in between; of any size; "
    "for all photos, or a folder of masks that are called as their photos",
)
_TRIPOD = flags.DEFINE_bool(
    "tripod",
    False,
    "of videos: the camera stands still, so frames are averaged with their neighbours where "
    "nothing moves: half the flicker; not for a camera that moves",
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
    """Restores what the words, --input and --list name; 1 when a photo could not be."""
    from fftdiff_jax.restore import one_by_one

    open_restorer = shared.restorer_opener(_CHECKPOINT.value)
    patterns = [_INPUT.value, *words] if _INPUT.value else words
    if not patterns and not _LIST.value:
        raise UserError("no photo is named; fftdiff-jax PHOTO_OR_FOLDER (see --help)")
    folder = shared.require("output", _OUTPUT.value)
    if folder.startswith("-"):
        raise UserError(f"--output {folder}: looks like a flag; ./{folder} is a folder called so")
    output = Path(folder).expanduser().absolute()
    if _UNCERTAINTY.value and _DRAWS.value in (0, 1):
        raise UserError("--uncertainty is the spread of several draws; give --draws=2 or more")
    if (_UNCERTAINTY.value or _variants()) and _REALISM.value == 0:
        raise UserError("with --realism=0 every draw is the same photo; give more, or leave it out")
    if _SKIP_EXISTING.value and _OVERWRITE.value:
        raise UserError("--skip_existing and --overwrite: give one of them")
    work = _shared_work(patterns, output)
    if _SUMMARY.value:
        return _summary(work)
    begun = time.monotonic()
    planned = _plan(patterns, output) if work is None else _own_part(work, patterns, output)
    waiting = [job for job in planned if not (_keeps() and _is_there(job))]
    if len(waiting) < len(planned):
        print(f"{len(planned) - len(waiting)} are there already")
    outcomes: list[tuple[folders.Job, one_by_one.Outcome]] = []
    ended = False
    try:
        if waiting:
            wanted = one_by_one.in_words([job for job in waiting if not job.refusal])
            print(f"restoring {wanted} into {one_line(output)}", flush=True)
            _restore(open_restorer, waiting, outcomes, output)
        else:
            print(f"nothing is left to restore into {one_line(output)}")
        ended = True
    finally:
        if work is not None:
            done = len(planned) - len(waiting) + sum(not o.refusal for _, o in outcomes)
            work.end(
                photos=len(planned),
                restored=done,
                refused=[outcome.refusal for _, outcome in outcomes if outcome.refusal],
                ended=ended,
                seconds=time.monotonic() - begun,
            )
    if work is not None:
        total = work.summarise()
        print(total.text() if total else "this shard is done; the one that ends last adds all up")
    return 1 if any(outcome.refusal for _, outcome in outcomes) else 0


def _restore(
    open_restorer: Callable[[], Restorer],
    waiting: Sequence[folders.Job],
    outcomes: list[tuple[folders.Job, one_by_one.Outcome]],
    output: Path,
) -> None:
    """Restores one photo after the other; `outcomes` grows by each, however it ends."""
    from fftdiff_jax.restore import one_by_one
    from fftdiff_jax.restore.progress import PhotoBars

    with PhotoBars(len(waiting), shown=_PROGRESS.value) as bars:
        shared.prepare_jax(_COMPILATION_CACHE.value)
        restorer = _sampling_as_asked(open_restorer()).watched(bars.tiles)
        draws = _DRAWS.value
        if not _UNCERTAINTY.value:  # whose number of draws is its own
            draws = shared.draws_asked(draws, _STEPS.value, _REALISM.value)
        ended = False
        try:
            for job in one_by_one.until_interrupted(waiting):
                bars.begin(job.source.name)
                outcome = one_by_one.restore(
                    restorer,
                    job,
                    draws=draws,
                    steps=_STEPS.value,
                    seed=_SEED.value,
                    strength=_STRENGTH.value,
                    tripod=_TRIPOD.value,
                    frames=bars.frames,
                    explain=explain,
                )
                outcomes.append((job, outcome))
                bars.end()
            ended = True
        finally:  # however it ends, what was not restored is said
            bars.close()
            _report(outcomes, waiting, output, ended)


def _shared_work(patterns: Sequence[str], output: Path) -> SharedWork | None:
    """What --shard shares with other processes; None without it."""
    if _SHARD.value is None:
        if _SUMMARY.value:
            raise UserError("--summary adds shards up; say how many with --shard=0/N")
        return None
    from fftdiff_jax.restore.shards import Shard
    from fftdiff_jax.restore.shared_work import SharedWork

    shard = Shard.parse(_SHARD.value)
    listed = None
    if _LIST.value:
        place = Path(_LIST.value).expanduser().absolute()
        listed = [str(place), _COLUMN.value]
        if place.is_file():
            with place.open("rb") as file:
                listed.append(hashlib.file_digest(file, "sha256").hexdigest())
    places = [os.path.abspath(os.path.expanduser(pattern)) for pattern in patterns]
    made = [_variants(), _UNCERTAINTY.value, _PROTECT.value]
    return SharedWork(output, shard, [places, listed, made, _OVERWRITE.value])


def _own_part(work: SharedWork, patterns: list[str], output: Path) -> list[folders.Job]:
    """This shard's photos, which have its leave to be written."""
    from fftdiff_jax.restore import folders

    planned = work.jobs(lambda: _plan(patterns, output))
    if not _OVERWRITE.value:
        folders.require_own_results(planned, keep=True)
    print(f"shard {work.shard}: {len(planned)} of the photos in {one_line(work.folder)}")
    work.begin()
    return planned


def _summary(work: SharedWork | None) -> int:
    total = None if work is None else work.summarise(counted=True)
    if total is None:
        return 1
    print(total.text())
    for line in total.refused:
        print(f"not restored: {line}")
    return 1 if total.refused or total.missing else 0


def _report(
    outcomes: Sequence[tuple[folders.Job, one_by_one.Outcome]],
    waiting: Sequence[folders.Job],
    output: Path,
    ended: bool,
) -> None:
    from fftdiff_jax.restore import one_by_one

    if not ended:
        total = one_by_one.in_words(waiting)
        way = "--skip_existing" if _SHARD.value is None else "the same command"
        print(f"stopped after {len(outcomes)} of {total}; {way} goes on from here")
    else:
        restored = sum(not outcome.refusal for _, outcome in outcomes)
        print(f"{restored} restored: {one_line(output)}")
    for job, outcome in outcomes:
        source = one_line(job.source)
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
    """What is restored to where, of all patterns; `UserError` where two would share a place.

    Of several shards each one looks at the places of its own results later, unless it overwrites.
    """
    from fftdiff_jax.restore import folders, lists, masks

    variants = _variants()
    looked = _SHARD.value is None or _OVERWRITE.value
    maps = _UNCERTAINTY.value or variants > 0
    wanted: dict[str, Any] = {"maps": maps, "variants": variants}
    wanted |= {"keep": _keeps(), "looked": looked}
    jobs = [job for p in patterns for job in folders.plan(p, output, **wanted)]
    if _LIST.value:
        found = lists.find_listed(_LIST.value, _COLUMN.value)
        jobs += folders.plan(_LIST.value, output, listed=found, **wanted)
    jobs = list(dict.fromkeys(jobs))
    folders.require_own_targets(jobs, looked=looked)
    if _SHARD.value is None and not _OVERWRITE.value:
        folders.require_own_results(jobs, _keeps())
    return masks.with_masks(jobs, _PROTECT.value, output) if _PROTECT.value else jobs


def _variants() -> int:
    """How many single draws are written beside the best photo."""
    draws = _DRAWS.value or 0
    return min(draws, VARIANTS) if draws > 1 else 0


def _keeps() -> bool:
    """Whether photos are left alone that are there: shards go on by themselves."""
    return _SKIP_EXISTING.value or (_SHARD.value is not None and not _OVERWRITE.value)


def _is_there(job: folders.Job) -> bool:
    return all(place.exists() for place in job.results)
