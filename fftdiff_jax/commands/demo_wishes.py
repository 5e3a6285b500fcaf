"""What visitors may choose: words in place of numbers, none of which makes a photo unusable."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from fftdiff_jax.commands.demo_photos import Wish
from fftdiff_jax.data.images import decode_photo, photo_size
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore import blending
from fftdiff_jax.restore.restorer import Restorer

STRENGTHS = {"gentle": 0.5, "normal": 0.8, "full": 1.0}
STRENGTH_WORDS = {
    "gentle": "Gentle: half of the change",
    "normal": "Normal: most of it",
    "full": "Full: all of it",
}
STRENGTH_HINT = "Less is kinder to railings, grass and writing, which may look like rain."
BEST, QUICK, SHARP = "best", "quick", "sharp"
WAY_WORDS = {
    BEST: "Best: nearest to the truth",
    QUICK: "Quick: less time, a little worse",
    SHARP: "Crisp: more detail, some of it guessed",
}
_HEAD = "data:image/png;base64,"
_MOST_MASK, _MOST_PIXELS = 4_000_000, 4_000_000  # characters of a painted mask, and its pixels


class Wishes:
    """The ways that some weights can go, and the restorers for them."""

    def __init__(self, restorer: Restorer) -> None:
        """Ways that the weights know nothing of are not offered."""
        self.restorer = restorer
        self._restorers = {BEST: restorer}
        sampling = restorer.config.sampling
        if sampling.mirror:
            self._restorers[QUICK] = restorer.with_sampling(mirror=False)
        self.draws = True
        try:
            restorer.require_draws()
            self._restorers[SHARP] = restorer.with_sampling(realism=0.5)
        except UserError:
            self.draws = False

    @property
    def ways(self) -> list[tuple[str, str]]:
        """Words and names of the ways."""
        return [(words, way) for way, words in WAY_WORDS.items() if way in self._restorers]

    def read(self, strength: Any, way: Any, mask: Any) -> tuple[Restorer, Wish]:
        """The restorer for a visitor's choice, and the rest of it.

        Args:
          strength: a key of `STRENGTHS`.
          way: a name of `ways`.
          mask: a PNG as the page paints it (white stays), as the address that holds it; or nothing.

        Raises:
          UserError: the page offers none of these.
        """
        if not (isinstance(strength, str) and strength in STRENGTHS):
            raise UserError(f"the strength is none of {', '.join(STRENGTHS)}; choose one")
        if not (isinstance(way, str) and way in self._restorers):
            raise UserError(f"the way is none of {', '.join(self._restorers)}; choose one")
        wish = Wish(STRENGTHS[strength], 1 if way == SHARP else None, _mask(mask))
        return self._restorers[way], wish


def _mask(address: Any) -> blending.Mask | None:
    if not address:
        return None
    if not isinstance(address, str) or not address.startswith(_HEAD) or len(address) > _MOST_MASK:
        raise UserError("what was painted cannot be read; clear it and paint again")
    try:
        data = base64.b64decode(address[len(_HEAD) :], validate=True)
    except binascii.Error as error:
        raise UserError("what was painted cannot be read; clear it and paint again") from error
    height, width = photo_size(data, "what was painted")
    if height * width > _MOST_PIXELS:
        raise UserError("what was painted is too large; clear it and paint again")
    mask = blending.to_mask(decode_photo(data, "what was painted"))
    return mask if mask.any() else None
