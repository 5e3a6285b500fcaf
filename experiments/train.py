"""Trains a restorer, or goes on where a run stopped.

    python -m experiments.train --config=experiments/configs/quickstart.py --workdir=runs/quickstart

Any field of the configuration can be set: --config.training.steps=2000. The same command again
resumes the run in --workdir. A finished run holds summary.json and before_after.png.
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import flags

from experiments import _cli, _config

_CONFIG = flags.DEFINE_string("config", None, "a file of experiments/configs, or its bare name")
_WORKDIR = flags.DEFINE_string("workdir", None, "the run's folder; made when missing")
_PROGRESS = flags.DEFINE_bool("progress", True, "show a progress bar")
_COMPILATION_CACHE = flags.DEFINE_string(
    "compilation_cache",
    "~/.cache/fftdiff_jax/xla",
    "compiled programs are kept here between runs; empty: not at all",
)

_OVERRIDES: list[str] = []


def main() -> int:
    """Runs the training that the flags describe."""
    workdir = Path(_cli.require("workdir", _WORKDIR.value))
    config = _config.load_config(_cli.require("config", _CONFIG.value), _OVERRIDES)
    print(f"training {config.training.steps} steps into {workdir}", flush=True)
    _cli.prepare_jax(_COMPILATION_CACHE.value)
    from fftdiff_jax.training.loop import train

    summary = train(config, workdir, progress=_PROGRESS.value)
    print(f"finished: {workdir}")
    if summary:
        rainy, restored = summary["rainy"], summary["restored"]
        print(
            f"{summary['num_images']} held-out photos: rainy {rainy['psnr_y']:.2f} dB -> restored "
            f"{restored['psnr_y']:.2f} dB (PSNR on Y, gain "
            f"{restored['psnr_y'] - rainy['psnr_y']:+.2f} dB)"
        )
        print(f"before and after: {workdir / 'before_after.png'}")
    print(
        "restore your own photos with\n"
        f"  python -m experiments.restore --checkpoint={workdir} --input=PHOTO_OR_FOLDER "
        "--output=restored"
    )
    return 0


if __name__ == "__main__":
    sys.argv, _OVERRIDES[:] = _config.split_overrides(sys.argv)
    _cli.run(main)
