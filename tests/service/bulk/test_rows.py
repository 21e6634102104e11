"""service.bulk.rows: what a row's line of JSON has."""

import json

from service.bulk.rows import Row, describe_failure
from service.classification.classifier import Prediction

GOOD = Row("a.jpg", (Prediction("cat", 3, 0.75),), None, "net", True, "native/avx2", 1.5)


def test_a_good_row() -> None:
    expected = {
        "file": "a.jpg",
        "predictions": [{"label": "cat", "index": 3, "score": 0.75}],
        "model": "net",
        "trained": True,
        "engine": "native/avx2",
    }
    assert json.loads(json.dumps(GOOD.as_json())) == expected
    assert GOOD.as_json(timed=True) == {**expected, "infer_ms": 1.5}


def test_a_bad_row() -> None:
    row = describe_failure("b.jpg", "unreadable", "gone")
    expected = {"file": "b.jpg", "error": {"code": "unreadable", "detail": "gone"}}
    assert row.as_json() == row.as_json(timed=True) == expected
