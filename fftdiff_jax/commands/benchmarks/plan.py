"""What is measured, and with which settings; every measurement is a process of its own."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any

from fftdiff_jax.commands.benchmarks.fresh import Row, in_fresh_process
from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError

SIZES = ((256, 256), (512, 768), (1080, 1920))
QUICK_SIZES = ((256, 256),)
# Growth: one thing changes at a time, the others stay as the configuration says.
CROPS, CROP_BATCH = (64, 128, 256, 512), 4
BATCHES = (4, 8, 16, 32, 64)
WIDTH_FACTORS = (0.5, 1.0, 2.0, 4.0)
MEGAPIXELS = ((288, 352), (600, 800), (1200, 1600), (2000, 3000), (2848, 4288), (4000, 6000))


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the command line says."""

    config: Config
    repeats: int
    sizes: tuple[tuple[int, int], ...]
    steps: tuple[int, ...]
    draws: tuple[int, ...]
    manifest: str | None = None
    quick: bool = False


def parse_words(words: Sequence[str], known: Sequence[str], parts: Sequence[str]) -> list[str]:
    """The parts that the words name, `all` spelt out, each once; `UserError` for an unknown one."""
    if not words:
        raise UserError(f"say what to measure: {', '.join(known)}")
    for word in words:
        if word not in known:
            near = difflib.get_close_matches(word, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise UserError(f"{word}: cannot be measured; {hint}")
    spelt = [part for word in words for part in (parts if word == "all" else (word,))]
    return list(dict.fromkeys(spelt))


def parse_sizes(words: Sequence[str] | None, quick: bool) -> tuple[tuple[int, int], ...]:
    """(height, width) of every word like 480x640; `UserError` for any other word."""
    if not words:
        return QUICK_SIZES if quick else SIZES
    sizes = []
    for word in words:
        height, _, width = word.partition("x")
        if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
            raise UserError(f"--sizes: {word!r} is not a size; write HEIGHTxWIDTH, like 480x640")
        sizes.append((int(height), int(width)))
    return tuple(sizes)


def parse_counts(name: str, words: Sequence[str], least: int = 1) -> tuple[int, ...]:
    """Whole numbers of at least `least`; `UserError` for anything else."""
    for word in words:
        if not word.isdigit() or int(word) < least:
            raise UserError(f"--{name}: {word!r} is not a whole number of at least {least}")
    return tuple(int(word) for word in words)


def measure(part: str, settings: Settings) -> Row:
    """Measures one part; the result holds it, and the device and versions it ran on."""
    measures = {
        "train": _train,
        "data": _data,
        "startup": _startup,
        "sample": _sample,
        "growth": _growth,
        "profile": _profile,
    }
    return measures[part](settings)


def _train(settings: Settings) -> Row:
    return in_fresh_process("train", settings.config, repeats=settings.repeats)


def _data(settings: Settings) -> Row:
    return in_fresh_process(
        "data",
        settings.config,
        repeats=settings.repeats,
        manifest=settings.manifest,
        quick=settings.quick,
    )


def _startup(settings: Settings) -> Row:
    from fftdiff_jax.commands.benchmarks.startup import measure_startup

    # A cold start takes tens of seconds, and all of one would be the same as the other's.
    runs = 1 if settings.quick else min(settings.repeats, 3)
    return {**in_fresh_process("machine"), "result": measure_startup(settings.config, runs)}


def _sample(settings: Settings) -> Row:
    rows: list[Row] = []
    answer: Row = {}
    for height, width in settings.sizes:
        for steps in settings.steps:
            for draws in settings.draws:
                if draws == 0 and steps != settings.steps[0]:
                    continue  # the best photo takes no steps
                answer = in_fresh_process(
                    "sample",
                    settings.config,
                    height=height,
                    width=width,
                    steps=steps,
                    draws=draws,
                    repeats=settings.repeats,
                )
                rows.append(answer["result"])
    return {**answer, "result": rows}


def _profile(settings: Settings) -> Row:
    return in_fresh_process("profile", settings.config, steps=settings.repeats)


def _growth(settings: Settings) -> Row:
    config, quick = settings.config, settings.quick
    repeats = min(settings.repeats, 3)
    answer: Row = {}
    tables: dict[str, list[Row]] = {"crop": [], "batch": [], "width": [], "photo": []}

    def train(table: str, changed: Config, **labels: Any) -> None:
        nonlocal answer
        answer = in_fresh_process("train", changed, repeats=repeats, steps_a_run=1)
        kept = ("step_seconds", "images_per_second", "flops_per_step", "peak_rss_mb", "parameters")
        result = {name: answer["result"][name] for name in kept}
        tables[table].append({**labels, **result})

    for crop in CROPS[: 2 if quick else None]:
        changed = _changed(config, crop=crop, batch=CROP_BATCH)
        train("crop", changed, crop=crop, batch=CROP_BATCH)
    for batch in BATCHES[: 2 if quick else None]:
        train("batch", _changed(config, batch=batch), crop=config.data.crop_size, batch=batch)
    for factor in WIDTH_FACTORS[: 2 if quick else None]:
        widths = tuple(max(8, round(width * factor / 8) * 8) for width in config.model.widths)
        train("width", _changed(config, widths=widths), widths=list(widths))
    for height, width in MEGAPIXELS[: 2 if quick else None]:
        answer = in_fresh_process(
            "sample", config, height=height, width=width, steps=1, draws=0, repeats=repeats
        )
        tables["photo"].append(answer["result"])
    return {**answer, "result": tables}


def _changed(
    config: Config,
    crop: int | None = None,
    batch: int | None = None,
    widths: tuple[int, ...] | None = None,
) -> Config:
    data, training, model = config.data, config.training, config.model
    return dataclasses.replace(
        config,
        data=dataclasses.replace(data, crop_size=crop or data.crop_size),
        training=dataclasses.replace(training, batch_size=batch or training.batch_size),
        model=dataclasses.replace(model, widths=widths or model.widths),
    )
