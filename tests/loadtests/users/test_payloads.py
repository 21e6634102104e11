"""What is sent: sizes in their proportions, 12 megapixels among them, forms and bare files."""

import io
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from loadtests.clients.images import SIZES
from loadtests.errors import WrongUsage
from loadtests.users.payloads import make_payloads, parse_sizes


def test_sizes_come_as_often_as_they_weigh() -> None:
    payloads = make_payloads("tiny=3, web", 2, 1, "", form=False, top_k=1)
    names = Counter(payload.name for payload in payloads)
    assert names == {"/classify tiny": 6, "/classify web": 2}
    again = make_payloads("tiny=3, web", 2, 1, "", form=False, top_k=1)
    assert payloads == again
    sizes = {Image.open(io.BytesIO(payload.body)).size for payload in payloads}
    assert sizes == {SIZES["tiny"], SIZES["web"]}


def test_a_phones_photo_is_sent() -> None:
    (payload,) = make_payloads("phone", 1, 1, "", form=False, top_k=5)
    image = Image.open(io.BytesIO(payload.body))
    assert image.format == "JPEG"
    assert image.size == SIZES["phone"]
    assert (payload.name, payload.path) == ("/classify", "/classify?top_k=5")
    assert payload.headers == {"Content-Type": "application/octet-stream"}


def test_a_folder_is_sent_instead(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"any bytes")
    (payload,) = make_payloads("mixed", None, 1, str(tmp_path), form=True, top_k=5)
    assert b"any bytes" in payload.body
    assert payload.headers["Content-Type"].startswith("multipart/form-data; boundary=")


@pytest.mark.parametrize("text", ["", "huge", "web=0", "web=1.5", "web=-1", "web=", "web,web"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage, match="expected --sizes as web=3,phone"):
        parse_sizes(text)


def test_how_many() -> None:
    assert len(make_payloads("mixed", None, 1, "", form=True, top_k=5)) == 9
    with pytest.raises(WrongUsage, match="at least 1 for --image-count, found 0"):
        make_payloads("tiny", 0, 1, "", form=True, top_k=5)
