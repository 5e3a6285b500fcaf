"""How an evaluation is made, checked once."""

from __future__ import annotations

import dataclasses

from fftdiff_jax.errors import UserError
from fftdiff_jax.metrics import frozen


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """How photos are restored and scored, which of them, and what is kept.

    Attributes:
      steps, draws: as for a restorer; None takes its own. What is scored is the mean of the draws.
      limit: the first so many pairs only; None or 0 takes all. A larger limit goes on.
      seed: of the draws; every photo is drawn with the same one.
      lpips_nets: networks that LPIPS is measured with, of `frozen.NETWORKS`, or none.
      save_photos: keep the restored photos in restored/.
      restart: discard what the result folder holds.
      process: which process this is, from 0, of how many that restore a part of the pairs each.
      progress: show a progress bar.

    Raises:
      UserError: a value makes no sense.
    """

    steps: int | None = None
    draws: int | None = None
    limit: int | None = None
    seed: int = 0
    lpips_nets: tuple[str, ...] = ("alexnet",)
    save_photos: bool = True
    restart: bool = False
    process: tuple[int, int] = (0, 1)
    progress: bool = False

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("draws", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{name} is {value}; at least {least} is needed")
        index, count = self.process
        if not 0 <= index < count:
            raise UserError(f"process {index} of {count}: count from 0")
        if self.restart and count > 1:
            raise UserError(
                "--restart would discard what other processes do; empty the folder first"
            )
        for net in self.lpips_nets:
            frozen.require(net)
