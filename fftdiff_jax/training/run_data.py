"""Whether the pairs are those that a run was begun with, asked before it goes on."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fftdiff_jax.config import DataConfig
from fftdiff_jax.data.fingerprint import difference, fingerprint, stamp_of_files
from fftdiff_jax.data.manifest import Manifest, Row
from fftdiff_jax.data.sources.open import open_source
from fftdiff_jax.data.streak_masks import mask_paths
from fftdiff_jax.errors import UserError

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RunData:
    """All pairs of a run.

    Attributes:
      config: where they come from.
      training_set, validation_set: see `run_setup.open_data`.
    """

    config: DataConfig
    training_set: Manifest
    validation_set: Manifest | None

    def fingerprint(self, by: str | None = None) -> dict[str, Any]:
        """The fingerprint of the pairs; `by` "times" or "contents", or as the configuration says.

        Raises:
          UserError: a photo or mask cannot be read, or the source was not prepared.
        """
        way = by or self.config.fingerprint
        source = open_source(self.config, self.training_set)
        places = {row: i for i, row in enumerate(self.training_set.rows)}

        def stamp(row: Row) -> str:
            if self.config.manifest == "embedded":
                return ""  # photos of this version, written anew where the cache was emptied
            if row in places:
                return source.stamp(places[row], way)
            return stamp_of_files([path for path in (row.clean, row.rainy) if path], way)

        masks = mask_paths(self.config.streaks_dir) if self.config.streaks_dir else ()
        return fingerprint(self._pairs(), stamp, way, stamp_of_files(masks, way))

    def require_same(self, before: Mapping[str, Any] | None, workdir: Path, accept: bool) -> None:
        """Raises `UserError` where the pairs are not those of a checkpoint.

        Args:
          before: the checkpoint's fingerprint; one of an earlier version has none, which is said.
          workdir: the run's folder, for messages.
          accept: say what has changed, and go on.
        """
        if before is None:
            _log.warning("the checkpoint has no fingerprint of its data: changes are not noticed")
            return
        try:
            changed = difference(before, self.fingerprint(before["by"]), self._pairs())
        except (KeyError, TypeError) as error:
            raise UserError(f"{workdir}: the fingerprint in its checkpoint is damaged") from error
        if changed is None:
            return
        if not accept:
            raise UserError(
                f"{workdir}: its data is not what it was ({changed}); --accept_changed_data goes "
                "on all the same"
            )
        _log.warning("the data is not what it was (%s), which is accepted", changed)

    def _pairs(self) -> Manifest:
        validated = () if self.validation_set is None else self.validation_set.rows
        rows = (*self.training_set.rows, *validated)
        return dataclasses.replace(self.training_set, rows=rows)
