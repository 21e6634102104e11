"""service.page: a page that needs nothing from elsewhere and allows only its own script."""

import base64
import hashlib
import re

import httpx
import pytest

pytestmark = pytest.mark.anyio


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


async def test_nothing_comes_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = (await client.get("/")).text
    assert "//" not in re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL)
    assert not re.search(r"\son\w+=|\sstyle=|javascript:", page)
    for target in re.findall(r'(?:href=|fetch\()"([\w./]+)"', page):
        assert (await client.get(f"/{target}")).status_code in (200, 405)
