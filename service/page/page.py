"""The page for people at GET /: read once; only its own script and style may run."""

import base64
import hashlib
from pathlib import Path

_FOLDER = Path(__file__).parent


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _fill(page: str, element: str, content: str) -> str:
    """The page with `content` in its one, empty <script> or <style>."""
    empty = f"<{element}></{element}>"
    before, found, after = page.partition(empty)
    assert found, f"page.html has no {empty}"
    return f"{before}<{element}>{content}</{element}>{after}"


def hash_content(content: str) -> str:
    """The CSP source expression that allows an element with just this content."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_STYLE = _read("page.css")
_SCRIPT = "".join(map(_read, ("page.js", "page_model.js", "page_camera.js")))
PAGE = _fill(_fill(_read("page.html"), "style", _STYLE), "script", _SCRIPT)
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src {hash_content(_SCRIPT)}",
        f"style-src {hash_content(_STYLE)}",
        "img-src blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
