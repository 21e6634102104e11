"""A plot of memory, descriptors and threads over a run, where matplotlib is installed."""

from collections.abc import Sequence
from pathlib import Path

from loadtests.soak.run import Point


def draw_usage(points: Sequence[Point], path: Path) -> str:
    """Writes SVG or PNG, by the name's ending; returns a sentence for the report."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return f"No plot in {path.name}: matplotlib is not installed."
    done = [count for count, _, _ in points]
    figure = Figure(figsize=(8, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(done, [usage.rss_bytes / 2**20 for *_, usage in points])
    above.set_ylabel("RSS, MiB")
    above.set_ylim(bottom=0)
    below.plot(done, [usage.descriptors for *_, usage in points], label="descriptors")
    below.plot(done, [usage.threads for *_, usage in points], label="threads")
    below.set_ylim(bottom=0)
    below.set_xlabel("requests")
    below.legend()
    figure.savefig(path)
    return f"Plot: {path.name}."
