"""service.page: a page that needs nothing from elsewhere and allows only its own script."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from service.page import CONTENT_SECURITY_POLICY, PAGE

_INFO = {
    "model": {"name": "a-network", "classes": 3, "trained": False},
    "engine": {"name": "native", "implementation": "generic"},
}
_LOADING = {"code": "not_ready", "title": "It is being loaded", "detail": "wait."}
_NO_KEY = {"code": "unauthorized", "title": "Who is asking?", "detail": "a key."}


@pytest.mark.anyio
async def test_the_policy_allows_exactly_the_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for element in ("script", "style"):
        (content,) = re.findall(f"<{element}>(.*?)</{element}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy


@pytest.mark.anyio
async def test_nothing_comes_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = (await client.get("/")).text
    assert "//" not in re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL)
    assert not re.search(r"\son\w+=|\sstyle=|javascript:", page)
    for target in re.findall(r'(?:href=|ask\()"([\w./]+)"', page):
        assert (await client.get(f"/{target}")).status_code in (200, 405)


def test_what_the_page_says_while_the_model_loads_goes_when_it_is_there(tmp_path: Path) -> None:
    with serve([(503, _LOADING), (503, _LOADING), (200, _INFO)]) as url:
        page = show_in_browser(url, tmp_path)
    assert "a-network, 3 classes, native/generic. <b>Untrained" in page
    assert _LOADING["title"] not in page
    assert '<form id="access" hidden="">' in page


def test_the_page_asks_for_a_key_where_the_service_does(tmp_path: Path) -> None:
    with serve([(401, _NO_KEY)]) as url:
        page = show_in_browser(url, tmp_path)
    assert "Who is asking?: a key." in page
    assert '<form id="access">' in page


@contextmanager
def serve(answers: list[tuple[int, dict[str, object] | dict[str, str]]]) -> Iterator[str]:
    """The URL of a server of the page, whose /info gives one of these answers after the other."""
    left = iter(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, kind = 200, PAGE, "text/html"
            if self.path == "/info":
                status, content = next(left)
                body, kind = json.dumps(content), "application/json"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def show_in_browser(url: str, folder: Path) -> str:
    """The page's elements after a few seconds of the browser's clock, which runs ahead of ours."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium (Debian: chromium): the page's script was not run")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += [f"--user-data-dir={folder}", "--virtual-time-budget=6000", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
