"""Log lines about refused requests: at the beginning, from time to time, at the end."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)
_QUIET_SECONDS = 5.0  # without a refusal: then it is over
_REPORT_SECONDS = 10.0  # between two lines while it goes on


class Shedding:
    """Follows the counts of refusals by reason; thousands of them become a few log lines.

    `update` is to be called about once per second. It costs the requests nothing: the counts are
    those of the metrics.
    """

    def __init__(self, read_counts: Callable[[], Mapping[str, int]]) -> None:
        self._read_counts = read_counts
        self._seen: Mapping[str, int] = {}
        self._began = self._last = self._reported = 0.0
        self._total: Counter[str] = Counter()
        self._unreported: Counter[str] = Counter()
        self.is_shedding = False

    def update(self, now: float) -> None:
        """Takes the refusals since the last call; `now`: seconds of any steady clock."""
        counts = self._read_counts()
        fresh = Counter(counts)
        fresh.subtract(self._seen)
        fresh = +fresh
        self._seen = counts
        if fresh:
            self._last = now
            self._total += fresh
            self._unreported += fresh
            if not self.is_shedding:
                self.is_shedding = True
                self._began = now
                self._report("requests are refused", now)
            elif now - self._reported >= _REPORT_SECONDS:
                self._report("requests are still refused", now)
        elif self.is_shedding and now - self._last >= _QUIET_SECONDS:
            self._end()

    def close(self, now: float) -> None:
        """Takes the last refusals and ends an account that is still open."""
        self.update(now)
        if self.is_shedding:
            self._end()

    def _report(self, text: str, now: float) -> None:
        self._reported = now
        _log.warning(text, extra={"refused": dict(self._unreported)})
        self._unreported.clear()

    def _end(self) -> None:
        seconds = round(self._last - self._began, 1)
        _log.warning(
            "no requests are refused any more",
            extra={"refused": dict(self._total), "seconds": seconds},
        )
        self._total.clear()
        self._unreported.clear()
        self.is_shedding = False
