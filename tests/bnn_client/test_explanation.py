"""bnn_client.explanation: the image, and what its headers say."""

import httpx

from bnn_client.answers import Prediction
from bnn_client.explanation import read_explanation
from tests.bnn_client.answers import MAP


def test_the_headers_are_read() -> None:
    _, headers, body = MAP
    found = read_explanation(body, httpx.Headers(headers))
    assert found.png == body
    assert found.prediction == Prediction("grün", 6, 0.9)
    assert (found.timings_ms.receive, found.timings_ms.explain, found.timings_ms.total) == (
        *(0.5, 5.5, 6.5),
    )
    assert found.request_id == "mine"
    assert "PNG" not in repr(found)
