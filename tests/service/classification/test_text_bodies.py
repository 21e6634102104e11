"""service.classification.text_bodies: what people send in place of an image is called by its
name.
"""

import base64
import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image

from service.classification.text_bodies import describe_text, explain_text


def make(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_an_image_in_base64(kind: str) -> None:
    text = base64.b64encode(make(kind))
    assert describe_text(text) == "base64 text"
    assert describe_text(b"\r\n" + base64.encodebytes(make(kind))) == "base64 text"
    assert (
        describe_text(b"data:image/" + kind.lower().encode() + b";base64," + text) == "a data URI"
    )
    assert describe_text(json.dumps({"image": text.decode()}, indent=1).encode()) == "JSON"
    assert describe_text(json.dumps([text.decode()]).encode()) == "JSON"
    assert describe_text(json.dumps(text.decode()).encode()) == "JSON"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"])
def test_an_image_is_none_of_these(kind: str) -> None:
    assert describe_text(make(kind)) is None
    assert explain_text(make(kind)) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"https://example.org/cat.jpg", "a link"),
        (b"HTTP://example.org", "a link"),
        (b"DATA:image/png,x", "a data URI"),
        (b"image=cat.jpg", "fields of a form without files"),
        (b"image=%FF%D8%FF", "fields of a form without files"),
        (b"", None),
        (b"hello", None),
        (b"\0\1\2", None),
        (b"<svg xmlns='x'/>", None),
    ],
)
def test_others(data: bytes, expected: str | None) -> None:
    assert describe_text(data) == expected


@pytest.mark.anyio
async def test_the_answer_says_what_to_send(client: httpx.AsyncClient, make_image: Any) -> None:
    text = base64.b64encode(make_image())
    for content in (text, json.dumps({"image": text.decode()}).encode(), b"image=" + text):
        answer = await client.post("/classify", content=content)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_format")
        detail = answer.json()["detail"]
        assert detail.startswith("expected the bytes of an image file; found ")
        assert "--data-binary" in detail
        assert text[:8].decode() not in detail
    files = [("image", ("a.jpg", make_image())), ("image", ("b.txt", text))]
    results = (await client.post("/classify/batch", files=files)).json()["results"]
    assert "base64" in results[1]["problem"]["detail"]
