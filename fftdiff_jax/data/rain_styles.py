"""What rain looks like: the kinds of it, and how their settings are drawn.

"downpour" was tuned by eye and by PSNR against rainy photos of Rain800. The others follow what the
papers of the data sets named below say of their rain; they were not compared with those photos.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from fftdiff_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class StreakLayer:
    """One depth of the rain.

    Attributes:
      length: of a streak, in pixels.
      width: standard deviation across a streak, in pixels.
      angle: degrees from the vertical, positive to the right going down.
      spread: standard deviation of the angle from streak to streak, in degrees.
      density: sparse layers: streaks in 1000 pixels; texture: fraction of the pixels covered.
      opacity: of the strongest streaks, 0 to 1.
      texture: cut noise instead of separate streaks.
      fade: standard deviation of a streak's soft ends, as a fraction of its length.
    """

    length: float
    width: float
    angle: float
    spread: float
    density: float
    opacity: float
    texture: bool = False
    fade: float = 0.1


@dataclasses.dataclass(frozen=True)
class RainStyle:
    """What one rain looks like.

    Attributes:
      kind: one of `KINDS`.
      layers: from far to near.
      brightness: of the light that streaks carry, 0 to 1.
      tint: factors of red, green and blue.
      blend: "screen", "add" (clipped) or "cover" (streaks hide what lies behind them).
      veil: opacity of the mist between the layers, 0 to 1.
      shade: how much of the streaks' mean light is taken away from the whole photo, 0 to 1, as
        where an editor lays a grey noise layer over it.
      contrast: of the photo behind the rain, about mid-grey.
      saturation: of the photo behind the rain: 0 is grey.
      streaks: opacities of layers of photographed streaks (`streak_masks.py`), none in most kinds.
    """

    kind: str
    layers: tuple[StreakLayer, ...]
    brightness: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blend: str = "screen"
    veil: float = 0.0
    shade: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    streaks: tuple[float, ...] = ()


def sample_style(
    rng: np.random.Generator, kind: str | None = None, toned: float = 0.0
) -> RainStyle:
    """Draws a style of `kind`, or of a kind drawn evenly from `KINDS`.

    Args:
      rng: where the randomness comes from.
      kind: one of `KINDS`, or `PHOTOGRAPHED`.
      toned: fraction of the styles that change the tone of the photo behind the rain too: darker
        or brighter, of more or less contrast, paler. Painted and real rain both do.

    Raises:
      UserError: there is no such kind.
    """
    if kind is None:
        kind = KINDS[int(rng.integers(len(KINDS)))]
    if kind not in (*KINDS, PHOTOGRAPHED):
        raise UserError(f"there is no kind of rain {kind!r}; known: {', '.join(KINDS)}")
    tint = 1.0 + 0.03 * rng.uniform(-1.0, 1.0, 3)
    weights = {"storm": (0.3, 0.5, 0.2), "mist": (0.3, 0.1, 0.6)}.get(kind, (0.5, 0.2, 0.3))
    veils = {
        "mist": (0.05, 0.4),
        "downpour": (0.0, 0.12),
        "shower": (0, 0.1),
        PHOTOGRAPHED: (0, 0.2),
    }
    veil = veils.get(kind, (0, 0.04))
    # About half of 40 Rain800 pairs looked at differ in tone as well: darker shadows.
    shaded = kind == "downpour" and rng.random() < 0.5
    streaks: tuple[float, ...] = ()
    if kind == PHOTOGRAPHED:
        streaks = tuple(rng.uniform(0.3, 1.1, int(rng.integers(1, 4))).tolist())
    layers = [] if kind == PHOTOGRAPHED else _LAYERS[kind](rng)
    if rng.random() < _MIXED:
        layers = _LAYERS[KINDS[int(rng.integers(len(KINDS)))]](rng) + layers
    style = RainStyle(
        kind,
        tuple(dataclasses.replace(layer, fade=rng.uniform(0.03, 0.3)) for layer in layers),
        brightness=float(rng.uniform(0.7, 1.0)),
        tint=(float(tint[0]), float(tint[1]), float(tint[2])),
        blend=str(rng.choice(("screen", "add", "cover"), p=weights)),
        veil=float(rng.uniform(*veil)),
        shade=float(rng.uniform(0.3, 1.0)) if shaded else 0.0,
        contrast=float(rng.uniform(0.95, 1.2)) if shaded else 1.0,
        streaks=streaks,
    )
    if toned == 0.0 or rng.random() >= toned:
        return style
    return dataclasses.replace(
        style,
        shade=float(rng.uniform(-0.3, 1.0)),
        contrast=float(rng.uniform(0.8, 1.25)),
        saturation=float(rng.uniform(0.6, 1.05)),
    )


def _drizzle(rng: np.random.Generator) -> list[StreakLayer]:
    return [
        StreakLayer(
            length=rng.uniform(6, 22),
            width=rng.uniform(0.45, 0.8),
            angle=rng.normal(0, 14),
            spread=rng.uniform(0.5, 3),
            density=rng.uniform(0.6, 5),
            opacity=rng.uniform(0.15, 0.6),
        )
    ]


def _single(rng: np.random.Generator) -> list[StreakLayer]:
    """Rain100L: fine bright streaks of one direction."""
    angle, length, width = rng.normal(0, 18), rng.uniform(18, 50), rng.uniform(0.5, 1.2)
    near = StreakLayer(
        length, width, angle, rng.uniform(0, 2), rng.uniform(0.4, 2.5), rng.uniform(0.35, 0.95)
    )
    far = StreakLayer(0.5 * length, 0.5, angle, 1.0, rng.uniform(0.5, 4), 0.4 * near.opacity)
    return [far, near] if rng.random() < 0.5 else [near]


def _shower(rng: np.random.Generator) -> list[StreakLayer]:
    """Rain1400: cut noise of any slant and of many magnitudes."""
    angle, length = rng.uniform(-50, 50), rng.uniform(12, 60)
    return [
        StreakLayer(
            length,
            min(rng.uniform(0.5, 1.6), length / 20),  # shorter ones look like blots, not rain
            angle,
            rng.uniform(0, 2),
            rng.uniform(0.05, 0.4),
            rng.uniform(0.25, 0.9),
            texture=True,
        )
    ]


def _downpour(rng: np.random.Generator) -> list[StreakLayer]:
    """Rain800: dense layers of short and of broader streaks."""
    angle, length, width = rng.normal(0, 16), rng.uniform(8, 32), rng.uniform(0.6, 1.4)
    opacity = rng.uniform(0.22, 0.65)
    far = StreakLayer(
        0.8 * length,
        min(0.7 * width, length / 25),
        angle,
        1.5,
        rng.uniform(0.1, 0.4),
        0.6 * opacity,
        True,
    )
    near = StreakLayer(length, width, angle + rng.normal(0, 2), 2.0, rng.uniform(1, 6), opacity)
    return [far, near]


def _storm(rng: np.random.Generator) -> list[StreakLayer]:
    """Rain100H: long, bright streaks, dense, in up to five directions."""
    directions = int(rng.integers(1, 6))
    centre, fan = rng.normal(0, 12), rng.uniform(8, 22)
    opacity, total = rng.uniform(0.35, 0.95), rng.uniform(4, 15)
    return [
        StreakLayer(
            length=rng.uniform(15, 70),
            width=rng.uniform(0.5, 1.5),
            angle=centre + fan * (number - 0.5 * (directions - 1)) + rng.normal(0, 2),
            spread=rng.uniform(0, 2),
            density=total / directions,
            opacity=opacity * rng.uniform(0.6, 1.0),
        )
        for number in range(directions)
    ]


def _mist(rng: np.random.Generator) -> list[StreakLayer]:
    """Heavy rain far away: faint, fine texture, to be seen through a veil."""
    angle, length = rng.normal(0, 15), rng.uniform(8, 30)
    texture = StreakLayer(
        length, rng.uniform(0.5, 1.2), angle, 2.0, rng.uniform(0.2, 0.5),
        rng.uniform(0.1, 0.4), True,
    )  # fmt: skip
    near = StreakLayer(
        1.5 * length, rng.uniform(0.6, 1.2), angle, 1.0, rng.uniform(0.3, 3), rng.uniform(0.2, 0.7)
    )
    return [texture, near]


def _near(rng: np.random.Generator) -> list[StreakLayer]:
    """Few drops close to the lens: broad, long, out of focus, before a finer rain."""
    angle = rng.normal(0, 15)
    broad = StreakLayer(
        rng.uniform(25, 90), rng.uniform(1.5, 3.5), angle, 2.0, rng.uniform(0.1, 0.8),
        rng.uniform(0.15, 0.6),
    )  # fmt: skip
    fine = StreakLayer(
        rng.uniform(8, 30), rng.uniform(0.5, 1.0), angle, 2.0, rng.uniform(0.5, 5),
        rng.uniform(0.2, 0.7),
    )  # fmt: skip
    return [fine, broad]


_MIXED = 0.2  # of the styles hold layers of a second kind

_LAYERS = {
    "drizzle": _drizzle,
    "single": _single,
    "shower": _shower,
    "downpour": _downpour,
    "storm": _storm,
    "mist": _mist,
    "near": _near,
}
KINDS = tuple(_LAYERS)
PHOTOGRAPHED = "photographed"  # wants masks of streaks, which the package does not hold
