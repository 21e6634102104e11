"""The result of reading the directory of models, and its log line."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

_log = logging.getLogger(__name__)


@dataclass
class Report:
    """Names of models by result."""

    loaded: list[str] = field(default_factory=list)
    unloaded: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Adds another report."""
        for result, names in vars(self).items():
            names.extend(vars(other)[result])

    def log(self, text: str) -> None:
        """Logs `text` with the names; as a warning if a model failed."""
        level = logging.WARNING if self.failed else logging.INFO
        extra = {result: ", ".join(names) for result, names in vars(self).items() if names}
        _log.log(level, text, extra=extra)
