"""service.routes.docs: all of the OpenAPI document for people, without anything from elsewhere."""

import base64
import hashlib
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from service.access.key_file import make_key
from service.routes.docs import DOCS_POLICY, render_docs
from service.settings.settings import Settings
from tests.service.browser import Browser


class Page(HTMLParser):
    """The parts of a page: tags, anchors, links, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.anchors: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            assert not name.startswith("on")
            if name == "id":
                self.anchors.append(value or "")
            if name in ("href", "src"):
                self.links.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.anyio
async def test_the_document_is_valid_openapi(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1.")
    validate(document, cls=OpenAPIV31SpecValidator)


@pytest.mark.anyio
async def test_everything_of_the_document_is_on_the_page(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    answer = await client.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    page = Page(answer.text)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert f"{method.upper()} {path}" in page.text
            assert operation["summary"] in page.text
            for parameter in operation.get("parameters", ()):
                assert parameter["name"] in page.text
            for status in operation["responses"]:
                assert status in page.text
    for name, schema in document["components"]["schemas"].items():
        assert name in page.anchors
        for member in schema.get("properties", ()):
            assert member in page.text
    assert "integer 1 to 3, default 3" in page.text  # top_k of this model
    assert "`" not in page.text
    assert "curl -F image=@FILE http://127.0.0.1:8000/classify" in page.text


@pytest.mark.anyio
async def test_its_policy_allows_its_style_and_nothing_else(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs")
    assert answer.headers["content-security-policy"] == DOCS_POLICY
    assert "default-src 'none'" in DOCS_POLICY
    assert "script-src" not in DOCS_POLICY
    (style,) = re.findall("<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in DOCS_POLICY
    assert "script" not in Page(answer.text).tags


@pytest.mark.anyio
async def test_its_links_lead_somewhere_here(client: httpx.AsyncClient) -> None:
    page = Page((await client.get("/docs")).text)
    assert len(set(page.anchors)) == len(page.anchors)
    for link in set(page.links) - {"data:,"}:
        if link.startswith("#"):
            assert link.removeprefix("#") in page.anchors
        else:
            assert (await client.get(f"/{link.removeprefix('.')}")).status_code == 200


@pytest.mark.anyio
async def test_it_is_made_once_but_anew_when_the_model_is_there(connect: Any, gated: Any) -> None:
    gated.close()
    async with connect(engine=gated, wait=False) as client:
        before = (await client.get("/docs")).text
        gated.open()
        await client.app.state.inference.wait()
        after = (await client.get("/docs")).text
        assert before != after
        assert "1 to 3, default 3" in after
        assert (await client.get("/docs")).text == after
        assert (await client.head("/docs")).status_code == 200
        assert 'route="/docs"' in (await client.get("/metrics")).text


@pytest.mark.anyio
async def test_where_keys_are_asked_for_it_says_how_to_send_one(
    connect: Any, tmp_path: Path
) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(make_key("app")[1])
    file.chmod(0o600)
    async with connect(Settings(api_keys_file=file)) as client:
        page = Page((await client.get("/docs")).text)
    key = '-H "Authorization: Bearer $KEY"'
    assert f"curl -F image=@FILE {key} http://127.0.0.1:8000/classify" in page.text
    assert "Asks for a key: bearer or api_key." in page.text
    assert "X-API-Key: KEY" in page.text
    assert "curl http://127.0.0.1:8000/livez" in page.text
    for link in page.links:
        assert not link.startswith("#") or link.removeprefix("#") in page.anchors


_texts = st.text(st.sampled_from("ab<>&\"'/ {}"), max_size=12)


@given(texts=st.lists(_texts, min_size=6, max_size=6))
def test_texts_are_never_markup(texts: list[str]) -> None:
    path, summary, name, text, kind, example = texts
    schema = {"type": "string", "description": text, "examples": [example], "enum": [kind]}
    operation = {
        "summary": summary,
        "parameters": [{"name": name, "in": "query", "schema": schema}],
        "requestBody": {"description": text, "content": {f"x{kind}": {"schema": schema}}},
        "responses": {"200": {"description": text, "headers": {name: {"description": text}}}},
        "security": [{example: []}],
    }
    document = {
        "info": {"title": text, "version": kind, "summary": summary},
        "paths": {f"/{path}": {"post": operation}},
        "components": {
            "schemas": {f"s{name}": {"properties": {f"m{name}": schema}}},
            "securitySchemes": {
                example: {"type": "apiKey", "in": "header", "name": kind, "description": text}
            },
        },
    }
    page = Page(render_docs(document))
    allowed = "html head meta title link style body h1 h2 h3 p a nav ul li code pre section table"
    assert page.tags <= {*allowed.split(), "tr", "td", "th", "small", "br"}
    assert f"POST /{path}" in page.text


@pytest.mark.parametrize("width", [320, 1024])
def test_no_width_has_to_be_scrolled(start_server: Any, tmp_path: Path, width: int) -> None:
    browser = Browser(tmp_path / "profile")
    try:
        tab = browser.open(f"{start_server().wait_until_ready()}/docs", width=width, height=700)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.list_faults() == []
    finally:
        browser.close()


def test_a_browser_shows_it_and_asks_nobody_else(start_server: Any, tmp_path: Path) -> None:
    """The only network of the browser is this service; its policy is not broken."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium (Debian: chromium): /docs was not shown in a browser")
    url = start_server(BNN_LOG_FORMAT="text").wait_until_ready()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    options += [
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--enable-logging=stderr",
    ]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run(
        [browser, *options, f"{url}/docs"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "POST /classify" in Page(done.stdout).text
    assert "Content Security Policy" not in done.stderr
    metrics = httpx.get(f"{url}/metrics").text
    asked = set(re.findall(r'bnn_requests_total\{method="GET",route="([^"]+)"', metrics))
    assert asked <= {"/docs", "/readyz", "/metrics"}
    assert "/docs" in asked
