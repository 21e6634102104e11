"""Writes a report as one HTML page with its plots, and a part of it into another document."""

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt

from loadtests.errors import WrongUsage

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; }
body { padding: 0 1rem; color-scheme: light dark; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; }
table { display: block; overflow-x: auto; }
th, td { border: 1px solid #8888; padding: 0.25rem 0.5rem; text-align: left; }
th { background: #8882; }
img { max-width: 100%; height: auto; background: #fff; }
"""
MARKS = ("<!-- compare: begin -->", "<!-- compare: end -->")


def write_page(title: str, markdown: str, plots: Mapping[str, str], path: Path) -> None:
    """The report with its plots (file name to SVG) in it; the page loads nothing else."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    for name, svg in plots.items():
        encoded = base64.b64encode(svg.encode()).decode()
        body = body.replace(f'src="{name}"', f'src="data:image/svg+xml;base64,{encoded}"')
    path.write_text(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}</body></html>\n"
    )


def write_between_marks(path: Path, text: str) -> None:
    """Replaces what stands between the marks of a document. Raises WrongUsage if it has none."""
    before, after = split_at_marks(path)
    path.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}")


def split_at_marks(path: Path) -> tuple[str, str]:
    """What stands before and behind the marks. Raises WrongUsage."""
    try:
        before, begin, rest = path.read_text().partition(MARKS[0])
    except OSError as fault:
        raise WrongUsage(
            f"{path}: expected a document with marks, found: {fault.strerror}"
        ) from fault
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise WrongUsage(
            f"{path}: expected the lines {MARKS[0]} and {MARKS[1]}, found a document without them; "
            "add them where the table belongs"
        )
    return before, after
