"""The corpus tool: a real run, and wrong usage."""

from pathlib import Path

import pytest

from loadtests.clients.http_client import Address
from loadtests.clients.images import generate_jpegs
from loadtests.corpus.__main__ import main, parse_url
from loadtests.errors import WrongUsage
from tests.loadtests.conftest import RunTool


@pytest.mark.slow
def test_run_against_this_service(run_tool: RunTool, tmp_path: Path) -> None:
    folder = tmp_path / "files" / "below"
    folder.mkdir(parents=True)
    (image,) = generate_jpegs(1, 1, (80, 60))
    (folder / "good.jpg").write_bytes(image.data)
    (folder / "bad.jpg").write_bytes(image.data[:100])
    (folder / "text").write_text("no image")
    status, found, printed = run_tool(
        "corpus", str(tmp_path / "files"), "--env", "BNN_ENGINE=native", "--form"
    )
    assert status == 0, printed
    assert found["results"]["files"] == 3
    assert found["results"]["answers"] == {
        ".jpg": {"422 invalid_image": 1, "200": 1},
        "(none)": {"415 unsupported_format": 1},
    }
    assert found["results"]["rss_bytes"] > 2**20
    assert "RSS afterwards" in printed


def test_urls() -> None:
    assert parse_url("http://localhost:8000/") == Address("localhost", 8000)
    assert parse_url("http://a").port == 80
    for text in ("localhost:8000", "https://a", "http://a/classify"):
        with pytest.raises(WrongUsage, match="http://HOST:PORT"):
            parse_url(text)


def test_wrong_usage_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "missing")]) == 2
    assert "expected a folder" in capsys.readouterr().err
