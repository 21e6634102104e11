"""One self-contained page about an album: its photos by time, with before, after and why."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from models.albums.outputs import Result, Row, count, format_time, show
from runtime.whole_file import write_whole

# No scripts and nothing from elsewhere, whatever a file is called.
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>Album</title>
<style>
* { box-sizing: border-box; }
:root { color-scheme: light dark; }
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; color: #222; background: #fff; }
h2 { font-size: 1.05rem; margin: 1.6rem 0 .5rem; overflow-wrap: anywhere; }
ul { list-style: none; padding: 0; margin: 0; display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(min(16rem, 100%), 1fr)); }
li { display: grid; grid-template-columns: 84px minmax(0, 1fr); gap: .4rem .7rem;
  align-content: start; padding: .6rem; border: 1px solid #ccc; border-radius: 6px; }
li.changed { border-color: #b35c00; outline: 1px solid #b35c00; }
li img { width: 84px; height: 84px; object-fit: cover; border-radius: 3px; }
li .why { grid-column: 1 / -1; }
p { margin: 0 0 .2rem; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.why, .file { color: #555; font-size: .85rem; }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818; } .why, .file { color: #aaa; }
  li { border-color: #444; }
  li.changed { border-color: #e0a050; outline-color: #e0a050; }
}
</style></head><body>
"""


def write_page(path: Path, result: Result, thumbnail: Callable[[int], bytes]) -> None:
    """thumbnail(i): the JPEG of row i. Written as it is made: an album may have many."""
    sessions: dict[int, list[int]] = {}
    for i, row in enumerate(result.rows):
        sessions.setdefault(row.session, []).append(i)
    changed = sum(row.changed for row in result.rows)
    notes = [
        f"{count(len(result.rows), 'photo')} in {count(len(sessions), 'session')}; "
        f"{changed:,} got another kind by reasoning (framed). Model: {result.bundle}.",
        *result.notes,
    ]
    with write_whole(path) as stream:

        def write(text: str) -> None:
            stream.write(text.encode("utf-8", "backslashreplace"))

        write(f"{_HEAD}<h1>Album</h1>\n")
        write("".join(f"<p>{escape(note)}</p>\n" for note in notes))
        for session, members in sorted(sessions.items()):
            members.sort(key=lambda i: (result.rows[i].time or 0.0, result.rows[i].photo))
            first = result.rows[members[0]]
            about = filter(None, (_name_time(first.time), first.camera))
            title = " · ".join([f"Session {session}", *about])
            write(f"<h2>{escape(title)} · {count(len(members), 'photo')}</h2>")
            write("\n<ul>\n")
            for i in members:
                write(_describe(result.rows[i], thumbnail(i)))
            write("</ul>\n")
        write(_list("Could not be read", result.unreadable))
        write(f"<h2>Rules</h2>\n<pre>{escape(result.rules)}</pre>\n</body></html>\n")


def _name_time(seconds: float | None) -> str:
    """To the second, as people write it."""
    text = format_time(None if seconds is None else math.floor(seconds))
    return text.replace("T", " ").replace("Z", " UTC")


def _describe(row: Row, jpeg: bytes) -> str:
    kinds = f"<b>{escape(row.after)}</b> {row.after_score:.0%}"
    if row.changed:
        kinds += f", was {escape(row.before)} {row.before_score:.0%}"
    data = base64.b64encode(jpeg).decode()
    return (
        f'<li{" class=changed" if row.changed else ""}><img alt="" '
        f'src="data:image/jpeg;base64,{data}"><div><p>{kinds}</p>'
        f'<p class="file"><bdi>{escape(show(row.photo))}</bdi></p></div>'
        f'<p class="why">{escape(row.why)}</p></li>\n'
    )


def _list(title: str, rows: Sequence[tuple[str, str]]) -> str:
    if not rows:
        return ""
    items = "".join(
        f"<p><bdi>{escape(show(name))}</bdi>: {escape(why)}</p>\n" for name, why in rows
    )
    return f"<h2>{title}</h2>\n{items}"
