"""Measures training, sampling, the data layer and start-up beside the machine's own limit.

    fftdiff-jax benchmark all --output=benchmark.json
    fftdiff-jax benchmark train sample --config=rain800_cpu --sizes=256x256,1080x1920
    fftdiff-jax benchmark growth --output=growth.json
    fftdiff-jax benchmark table --output=benchmark.json

What to measure: train, data, startup, sample; `all` is these four. `growth` measures time and
memory against crop size, batch, width and photo size; `profile` lists what a training step spends
its time on; `table` prints a file of earlier results as Markdown. Results are added to the
--output file, so that parts can be measured one by one. Every number comes from a process of its
own, after a warm-up, with the device's work awaited; medians of repeated runs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import flags

from fftdiff_jax.commands import config_flags, shared

PARTS = ("train", "data", "startup", "sample")
KINDS = (*PARTS, "all", "growth", "profile", "table")

_CONFIG = flags.DEFINE_string("config", "quickstart", "a recipe's name, or a file")
_OUTPUT = shared.define_output("a JSON file; parts that it holds stay as they are")
_REPEATS = flags.DEFINE_integer("repeats", 7, "timed runs of everything", lower_bound=1)
_SIZES = flags.DEFINE_list("sizes", None, "photos to restore, as HEIGHTxWIDTH")
_STEPS = flags.DEFINE_list("steps", ["1", "4"], "sample: network evaluations a draw")
_DRAWS = flags.DEFINE_list("draws", ["0", "1", "8"], "sample: draws a photo; 0: the best photo")
_MANIFEST = flags.DEFINE_string(
    "manifest", None, "data: a CSV of pairs; by default pairs made from scikit-image's photos"
)
_QUICK = flags.DEFINE_bool("quick", False, "few repeats and small sizes: to see that it works")


def main(words: list[str], overrides: list[str]) -> int:
    """Measures what the words on the command line name, and prints a table."""
    from fftdiff_jax.commands.benchmarks import plan, results, tables

    config = config_flags.load_config(shared.require("config", _CONFIG.value), overrides)
    output = Path(_OUTPUT.value).expanduser() if _OUTPUT.value else None
    parts = plan.parse_words(words, KINDS, PARTS)
    settings = plan.Settings(
        config=config,
        repeats=2 if _QUICK.value else _REPEATS.value,
        sizes=plan.parse_sizes(_SIZES.value, _QUICK.value),
        steps=plan.parse_counts("steps", _STEPS.value),
        draws=plan.parse_counts("draws", _DRAWS.value, least=0),
        manifest=_MANIFEST.value,
        quick=_QUICK.value,
    )
    found = results.read(output) if output and output.exists() else {}
    if parts != ["table"]:
        results.require_writable(output)
    for part in (part for part in parts if part != "table"):
        print(f"measuring {part} ...", file=sys.stderr, flush=True)
        found = results.merge(found, part, plan.measure(part, settings))
        if output:
            results.write(output, found)
    print(tables.markdown(found, None if parts == ["table"] else parts))
    return 0
