"""Stand-ins for what takes a trained network."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8


class BlurringRestorer:
    """Draws the photo blurred along its rows, plus noise: fast, and a function of its arguments.

    Attributes:
      calls: shapes of the photos it was given, in order.
      stop_after: raises KeyboardInterrupt after so many photos.
    """

    default_steps = 2
    default_draws = 1

    def __init__(self, noise: float = 0.02, stop_after: int | None = None) -> None:
        self.noise, self.stop_after = noise, stop_after
        self.calls: list[tuple[int, ...]] = []

    def sample_float(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
    ) -> Float[np.ndarray, "n h w 3"]:
        """Draws, or without noise where none are asked for; more steps leave less noise."""
        if self.stop_after is not None and len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        self.calls.append(photo.shape)
        rng = np.random.default_rng((seed, *photo.shape))
        scaled = photo.astype(np.float32) / 255
        blurred = (np.roll(scaled, 1, axis=1) + scaled + np.roll(scaled, -1, axis=1)) / 3
        count = self.default_draws if draws is None else draws
        shape = (max(count, 1), *photo.shape)
        noise = self.noise / (steps or self.default_steps) * rng.standard_normal(shape, np.float32)
        noise *= count > 0
        return np.clip(blurred + noise, 0, 1)
