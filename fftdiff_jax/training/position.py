"""Where a run stands, beside its state: kept in each checkpoint for the next start."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Position:
    """What the next start needs besides the state.

    Attributes:
      losses: of the steps since the last log row.
      unfinished: the run was stopped before all that is due after its last step was done.
      row: the log row of that step, if it was not written yet; validation scores may be added.
      data: the fingerprint of the pairs (fingerprint.py); None: a checkpoint from before there was
        one.
    """

    losses: tuple[float, ...] = ()
    unfinished: bool = False
    row: Mapping[str, float] | None = None
    data: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the position ready for JSON."""
        return {**dataclasses.asdict(self), "losses": list(self.losses)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Position:
        """Reads what `to_dict` gives, or an older checkpoint's: {"owed": {"row": ...}}.

        Whatever else it is given makes it raise what Python raises for a wrong type or value.
        """
        losses = tuple(map(float, values.get("losses", ())))
        if "owed" in values:
            return cls(losses, unfinished=True, row=values["owed"]["row"])
        unfinished = values.get("unfinished", False)
        return cls(losses, unfinished, values.get("row"), values.get("data"))
