"""What a reading of the models' directory did, and the line of the log that says so."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

_log = logging.getLogger(__name__)


@dataclass
class Report:
    """Names of models by what became of them."""

    loaded: list[str] = field(default_factory=list)
    unloaded: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Takes in what another one has."""
        for result, names in vars(self).items():
            names.extend(vars(other)[result])

    def log(self, text: str) -> None:
        """Writes `text` with the names that there are; a warning if a model failed."""
        level = logging.WARNING if self.failed else logging.INFO
        extra = {result: ", ".join(names) for result, names in vars(self).items() if names}
        _log.log(level, text, extra=extra)
