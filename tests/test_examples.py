"""examples/ and the Python in the README of the client: each runs against a real service."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from service.access.key_file import make_key
from service.commands.sample_image import draw_sample_image
from service.messages.problems import Problem, encode_problem
from tests.service.servers import ServerProcess

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
KEY, KEY_LINES = make_key("app", None, None)
COMMANDS = {
    "curl": ["sh", EXAMPLES / "classify.sh", "{image}", "{url}"],
    "python": [sys.executable, EXAMPLES / "classify.py", "{image}", "--url", "{url}"],
    "node": ["node", EXAMPLES / "node.mjs", "{image}", "{url}"],
}
# A page beside browser.html that fills it in, as a person would, and shows what came of it.
PERSON = """<!DOCTYPE html><pre id="result"></pre><iframe id="frame" src="browser.html"></iframe>
<script>
const frame = document.getElementById("frame");
frame.onload = async () => {
  const inside = frame.contentDocument;
  const files = new DataTransfer();
  files.items.add(new File([await (await fetch("image")).blob()], "image"));
  inside.getElementById("image").files = files.files;
  inside.getElementById("service").value = "URL";
  inside.getElementById("key").value = "KEY";
  inside.getElementById("form").requestSubmit();
  const look = setInterval(() => {
    const found = ["answer", "fault"].map((id) => inside.getElementById(id).textContent).join("");
    if (found) { clearInterval(look); document.getElementById("result").textContent = found; }
  }, 50);
};
</script>"""


class Service:
    """A running service that asks for a key and lets a page of any origin in."""

    def __init__(self, folder: Path) -> None:
        keys = folder / "keys.toml"
        keys.write_text(KEY_LINES)
        keys.chmod(0o600)
        environment = {"BNN_API_KEYS_FILE": str(keys), "BNN_CORS_ORIGINS": "*"}
        self.server = ServerProcess(folder / "server.log", environment)
        self.url = self.server.wait_until_ready()
        self.image = folder / "sample.jpg"
        self.image.write_bytes(draw_sample_image())
        self.text = folder / "text.jpg"
        self.text.write_bytes(b"this is no image")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    started = Service(tmp_path_factory.mktemp("examples"))
    yield started
    started.server.stop()


def run(
    name: str, image: Path, url: str, key: str = KEY, more: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    words = [*(str(word).format(image=image, url=url) for word in COMMANDS[name]), *more]
    if shutil.which(words[0]) is None:
        pytest.skip(f"no {words[0]}: its example was not run")
    return subprocess.run(
        words,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "API_KEY": key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def open_server(
    handler: type[BaseHTTPRequestHandler] | partial[SimpleHTTPRequestHandler],
) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def refuse_first(
    service: Service, times: list[float], asked: list[str] | None = None
) -> Iterator[str]:
    """The service behind a proxy that says once that it is overloaded, as the service says it.

    `times` has those of the requests, `asked` their paths.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            times.append(time.monotonic())
            if asked is not None:
                asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if len(times) == 1:
                content, headers = encode_problem(Problem("overloaded", "expected room."), "abc")
                self.answer(429, content, [(n.decode(), v.decode()) for n, v in headers])
                return
            kept = {name: self.headers[name] for name in ("Content-Type", "Authorization")}
            answer = httpx.post(service.url + self.path, content=body, headers=kept)
            kind = ("Content-Type", answer.headers["content-type"])
            self.answer(answer.status_code, answer.content, [kind])

        def answer(self, status: int, content: bytes, headers: list[tuple[str, str]]) -> None:
            self.send_response(status)
            for name, value in [*headers, ("Content-Length", str(len(content)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with open_server(Handler) as url:
        yield url


@pytest.mark.parametrize("name", COMMANDS)
def test_an_image_has_its_label(name: str, service: Service) -> None:
    done = run(name, service.image, service.url)
    assert done.returncode == 0, done.stderr
    assert "flower" in done.stdout.replace("\n", " ").split("bird")[0]
    assert done.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_busy_service_is_asked_again_when_it_says_so(name: str, service: Service) -> None:
    times: list[float] = []
    with refuse_first(service, times) as url:
        done = run(name, service.image, url)
    assert done.returncode == 0, done.stderr
    assert "flower" in done.stdout
    assert "overloaded" not in done.stdout
    assert len(times) == 2
    assert times[1] - times[0] >= 0.99  # Retry-After is 1; clocks are read at different moments


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_wrong_is_told_by_code_text_and_request(name: str, service: Service) -> None:
    done = run(name, service.text, service.url)
    assert done.returncode == (22 if name == "curl" else 1)
    printed = done.stdout + done.stderr
    assert "unsupported_format" in printed
    assert "expected a JPEG, PNG, WebP or AVIF file" in printed
    assert re.search("[0-9a-f]{32}", printed)
    if name == "curl":
        assert json.loads(done.stdout)["code"] == "unsupported_format"
    assert "unauthorized" in str(run(name, service.image, service.url, key="wrong"))


@pytest.mark.parametrize(("name", "option"), [("python", ("--model",)), ("node", ())])
def test_a_model_is_named(name: str, option: tuple[str, ...], service: Service) -> None:
    model = httpx.get(f"{service.url}/info", headers={"X-API-Key": KEY}).json()["model"]["name"]
    asked: list[str] = []
    with refuse_first(service, [0.0], asked) as url:
        for more in ((), (*option, model)):
            done = run(name, service.image, url, more=more)
            assert (done.returncode, "flower" in done.stdout) == (0, True)
    named = [parse_qs(urlsplit(target).query).get("model") for target in asked]
    assert named == [None, [model]]


@pytest.mark.parametrize("name", ["python", "node"])
def test_nobody_there(name: str, service: Service) -> None:
    with open_server(BaseHTTPRequestHandler) as url:
        pass
    done = run(name, service.image, url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_is_not_there(name: str, service: Service) -> None:
    done = run(name, service.image.with_name("absent.jpg"), service.url)
    assert done.returncode == (26 if name == "curl" else 1)  # curl's: a file cannot be read
    assert "Traceback" not in done.stderr
    assert name == "curl" or "absent.jpg" in done.stderr


class _Text(HTMLParser):
    """The text of the element `result`."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found = ""
        self._is_inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_inside = ("id", "result") in attrs

    def handle_data(self, data: str) -> None:
        if self._is_inside:
            self.found += data

    def handle_endtag(self, tag: str) -> None:
        self._is_inside = False


@pytest.mark.parametrize(
    ("file", "expected"),
    [("sample.jpg", "flower "), ("text.jpg", "unsupported_format: expected")],
)
def test_a_page_of_another_origin(
    file: str, expected: str, service: Service, tmp_path: Path
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium (Debian: chromium): browser.html was not run")
    for path in (EXAMPLES / "browser.html", EXAMPLES / "classify.mjs"):
        shutil.copy(path, tmp_path)
    shutil.copy(service.image.with_name(file), tmp_path / "image")
    page = PERSON.replace("URL", service.url).replace("KEY", KEY)
    (tmp_path / "person.html").write_text(page)

    class Files(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000"]
    with open_server(partial(Files, directory=str(tmp_path))) as url:
        done = subprocess.run(
            [browser, *options, "--dump-dom", f"{url}/person.html"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert _Text(done.stdout).found.startswith(expected)


def read_blocks(document: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL)


@pytest.mark.parametrize("index", range(3))
def test_python_in_the_readme_of_the_client_runs(
    index: int, service: Service, tmp_path: Path
) -> None:
    block = read_blocks(ROOT / "bnn_client" / "README.md")[index]
    block = re.sub(r'(Client\("https?://[^"]+")', rf'\1, api_key="{KEY}"', block)
    block = re.sub(r"https?://[^\"]+", service.url, block).replace("api_key=key, ", "")
    if "async with" in block:
        head, _, body = block.partition("\nasync with")
        inner = f"async with{body}".replace("\n", "\n    ")
        block = f"import asyncio\n{head}\nasync def main():\n    {inner}\nasyncio.run(main())\n"
    for name in ("sample.jpg", "a.jpg"):
        shutil.copy(service.image, tmp_path / name)
    shutil.copy(service.text, tmp_path / "b.jpg")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "flower" in done.stdout
    assert ("unsupported_format" in done.stdout) == (index < 2)
    assert (tmp_path / "map.png").exists() == ("explain" in block)
