"""Measures how often the warning of a doubtful restoration is right.

    python -m experiments.doubt pairs.csv more.csv

Every clean and every rainy photo of the manifests is restored, cut to its middle.
"""

from __future__ import annotations

import sys

from fftdiff_jax import Restorer
from fftdiff_jax.data.images import load_photo
from fftdiff_jax.data.manifest import read_manifest
from fftdiff_jax.pixels import centre_crop
from fftdiff_jax.restore import doubt

SIDE = 384


def main(manifests: list[str]) -> None:
    """Prints how many there are, were changed much, and are warned of."""
    rows = [row for manifest in manifests for row in read_manifest(manifest).rows]
    restorer = Restorer.pretrained()
    for kind, paths in (
        ("clean", {row.clean for row in rows}),
        ("rainy", {row.rainy for row in rows if row.rainy}),
    ):
        changes = []
        for path in sorted(map(str, paths)):
            photo = centre_crop(load_photo(path), SIDE)
            changes.append(doubt.measure(photo, restorer(photo)))
        much = sum(change.amount > doubt.MUCH for change in changes)
        doubtful = sum(change.doubtful for change in changes)
        print(f"{kind}: {len(changes)}, changed much {much}, warned of {doubtful}")


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    main(sys.argv[1:])
