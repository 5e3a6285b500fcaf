"""The smallest run that still trains, for tests that need many runs or many processes.

python -m tests.tiny FOLDER    writes FOLDER/pairs.csv and prints the flags, one a line
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tests.commands import ROOT


def write_pairs(folder: Path, count: int = 4) -> Path:
    """Writes small pairs without a val split (nothing is validated or evaluated); their CSV."""
    from skimage import data

    from fftdiff_jax.data.images import save_png
    from fftdiff_jax.data.manifest import write_manifest

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rows: list[tuple[str, str | None, str]] = []
    for i in range(count):
        clean = data.coffee()[60 * i : 60 * i + 40, 100:140]
        streaks = 80 * (rng.random((1, clean.shape[1], 1)) > 0.8)
        rainy = np.clip(clean + streaks, 0, 255).astype(np.uint8)
        save_png(folder / f"clean_{i}.png", clean)
        save_png(folder / f"rainy_{i}.png", rainy)
        rows.append((str(folder / f"clean_{i}.png"), str(folder / f"rainy_{i}.png"), "train"))
    write_manifest(folder / "pairs.csv", rows)
    return folder / "pairs.csv"


def flags(manifest: Path, *, steps: int, every: int, batch: int = 4) -> list[str]:
    """Flags of experiments.train for `steps` steps, a checkpoint `every` so many, a row a step."""
    fields = {
        "data.manifest": manifest,
        "data.crop_size": 32,
        "data.cache_dir": manifest.parent / "cache",
        "data.rendered_rain": 0.0,
        "representation.normalisation": "constant",
        "model.widths": "(8,16)",
        "model.blocks": "(1,1)",
        "diffusion.perceptual_weight": 0.0,
        "training.batch_size": batch,
        "training.steps": steps,
        "training.warmup_steps": 2,
        "training.log_every": 1,
        "training.checkpoint_every": every,
    }
    return [
        f"--config={ROOT / 'experiments/configs/quickstart.py'}",
        *(f"--config.{name}={value}" for name, value in fields.items()),
    ]


def write_checkpoint(folder: Path) -> None:
    """An untrained network that is no identity, as a run would leave it."""
    import jax

    from fftdiff_jax.config import Config, ModelConfig
    from fftdiff_jax.training.checkpoints import Checkpoints
    from fftdiff_jax.training.state import create_state

    config = Config(model=ModelConfig(widths=(8, 8), blocks=(1, 1)))
    noise = np.random.default_rng(0)
    state = create_state(config)
    shaken = jax.tree.map(
        lambda leaf: leaf + 0.02 * noise.standard_normal(leaf.shape).astype(np.float32),
        state.ema_params,
    )
    checkpoints = Checkpoints(folder)
    checkpoints.save(state.replace(ema_params=shaken), config, {})
    checkpoints.close()


def losses(workdir: Path) -> list[tuple[str, ...]]:
    """What a run's log says of every step, as text: equal only where all bits are."""
    lines = (workdir / "metrics.csv").read_text().splitlines()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]
    return [tuple(row[name] for name in names if name != "images_per_second") for row in rows]


if __name__ == "__main__":
    csv = write_pairs(Path(sys.argv[1]).absolute())
    print("\n".join(flags(csv, steps=int(sys.argv[2]), every=int(sys.argv[3]))))
