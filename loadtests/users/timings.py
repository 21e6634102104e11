"""Collects the service's own split of the time, which its answers carry in X-Time-*-Ms headers."""

import re
from collections.abc import Iterable

from loadtests.output.figures import pick

_HEADER = re.compile(r"x-time-([a-z0-9]+)-ms", re.IGNORECASE)
_PERCENTILES = (0.50, 0.95, 0.99)


class StageTimings:
    """Milliseconds per stage (receive, decode, preprocess, infer, total), one value per answer."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def record(self, headers: Iterable[tuple[str, str]]) -> None:
        """Takes the timings out of one answer's headers; other headers are ignored."""
        for name, value in headers:
            if match := _HEADER.fullmatch(name):
                self._values.setdefault(match[1].lower(), []).append(float(value))

    def clear(self) -> None:
        """Forgets everything: the warm-up is over."""
        self._values.clear()

    def summarize(self) -> dict[str, dict[str, float]]:
        """Per stage: count, mean_ms, p50_ms, p95_ms, p99_ms, max_ms; in the answers' order."""
        summary = {}
        for stage, values in self._values.items():
            ordered = sorted(values)
            summary[stage] = {
                "count": len(ordered),
                "mean_ms": round(sum(ordered) / len(ordered), 3),
                **{f"p{share * 100:.0f}_ms": pick(ordered, share) for share in _PERCENTILES},
                "max_ms": ordered[-1],
            }
        return summary

    def format_table(self) -> str:
        """The summary for people; says so if no answer had timings."""
        summary = self.summarize()
        if not summary:
            return "service timings: no answer had X-Time-*-Ms headers"
        columns = list(next(iter(summary.values())))
        lines = [f"{'service timings':<16}" + "".join(f"{column:>12}" for column in columns)]
        for stage, row in summary.items():
            lines.append(f"{stage:<16}" + "".join(f"{row[column]:>12.6g}" for column in columns))
        return "\n".join(lines)
