"""The chart of a soak: memory, descriptors and threads by the number of requests."""

from collections.abc import Sequence
from pathlib import Path

from loadtests.output.charts import draw_panels, show_lines, write_chart
from loadtests.servers.processes import MIB
from loadtests.soak.run import Point


def draw_usage(points: Sequence[Point], path: Path) -> None:
    """Writes SVG or PNG, by the name's ending."""
    done = [count for count, _, _ in points]
    usages = [usage for *_, usage in points]
    memory = {"RSS": [usage.rss_bytes / MIB for usage in usages]}
    counts = {
        "descriptors": [usage.descriptors for usage in usages],
        "threads": [usage.threads for usage in usages],
    }
    rows = [
        [show_lines("", "RSS, MiB", done, memory)],
        [show_lines("requests", "", done, counts)],
    ]
    write_chart(draw_panels(rows, [2.5, 2.5], width=8), path)
