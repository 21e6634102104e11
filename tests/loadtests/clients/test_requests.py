"""The requests to classify an image: as a bare file, and as a form that others can read."""

import email.parser
import email.policy

from loadtests.clients.images import build_image
from loadtests.clients.requests import build_classify

IMAGE = build_image("cat.jpg", b"\xff\xd8 bytes")


def test_bare_and_form_requests() -> None:
    bare = build_classify(IMAGE, form=False, headers={"X-Deadline-Ms": "5"})
    assert bare.body == IMAGE.data
    assert b"X-Deadline-Ms: 5\r\n" in bare.head
    form = build_classify(IMAGE, form=True)
    _, _, lines = form.head.partition(b"\r\n")
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(lines + form.body)
    (part,) = message.iter_parts()
    assert part.get_payload(decode=True) == IMAGE.data
