"""The page for people at GET /: read once; only its own script and style may run."""

import base64
import hashlib
from pathlib import Path


def hash_element(page: str, element: str) -> str:
    """The CSP source expression that allows the page's one inline <script> or <style>."""
    content = page.partition(f"<{element}>")[2].partition(f"</{element}>")[0]
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src {hash_element(PAGE, 'script')}",
        f"style-src {hash_element(PAGE, 'style')}",
        "img-src blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
