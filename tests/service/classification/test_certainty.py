"""service.classification.certainty: hedged answers by HTTP, what is refused, and the words."""

from typing import Any

import pytest

from runtime import Hedged, ImageLimits
from service.classification.certainty import describe_hedged, read_level
from service.classification.classifier import Classifier
from service.messages.problems import Problem
from tests.service.routes.test_classify import make_files


@pytest.fixture
def classifier(hedging: Any) -> Classifier:
    """Around the engine that hedges."""
    return Classifier(hedging, ImageLimits())


@pytest.mark.parametrize(
    ("query", "certainty"),
    [
        (b"", None), (b"top_k=1", None), (b"uncertainty=2", None),
        (b"certainty=0.5", 0.5), (b"certainty=.5", 0.5), (b"certainty=0.50001", 0.9),
        (b"certainty=0.9&top_k=1", 0.9), (b"certainty=0.01", 0.5),
        (b"certainty=0.1&certainty=0.99", 0.99),
        (b"certainty=0.990000", 0.99), (b"certainty=%30.95", 0.99),
        (b"cert%61inty=0.9", 0.9), (b"x=%25", None),
        (b"certainty=0.30000000000000004", 0.5),  # as Python writes 0.1 + 0.2
    ],
)  # fmt: skip
def test_the_next_stricter_level_is_used(
    classifier: Classifier, query: bytes, certainty: float | None
) -> None:
    level = read_level(query, classifier)
    assert (level and level.certainty) == certainty


@pytest.mark.parametrize(
    "text",
    ["", "0", "0.0", "1", "0.991", "95", "-0.5", "nan", "inf", "1e-1", "0,9", "x", "½", "9" * 400,
     "0.9.9", " 0.9", "+0.9", "0x1"],
)  # fmt: skip
def test_what_is_no_certainty_of_the_model_is_refused(classifier: Classifier, text: str) -> None:
    with pytest.raises(Problem) as raised:
        read_level(f"certainty={text}".encode(), classifier)
    assert raised.value.code == "invalid_parameter"
    assert "above 0, at most 0.99" in raised.value.detail


def test_a_model_without_a_hierarchy_is_named(make_engine: Any) -> None:
    plain = Classifier(make_engine(), ImageLimits())
    assert read_level(b"top_k=2", plain) is None
    with pytest.raises(Problem) as raised:
        read_level(b"certainty=0.9", plain)
    assert raised.value.code == "no_hierarchy"
    assert "hierarchy" in raised.value.detail


def test_words() -> None:
    def say(phrase: str | None, covers: int, label: str = "cat") -> str:
        return describe_hedged(Hedged(label, phrase, 0.9, covers, (), 0.9), 22)

    assert say(None, 1) == "cat"
    assert say("an animal", 13) == "an animal, which one is uncertain"
    assert say("a cat or dog", 2) == "a cat or dog, which one is uncertain"
    assert say("furniture", 3) == "furniture, which kind is uncertain"
    assert say("antique goods", 3) == "antique goods, which kind is uncertain"
    assert say("something", 22) == "nothing is certain enough"


@pytest.mark.anyio
async def test_answers_are_hedged_where_that_is_asked(
    connect: Any, hedging: Any, make_image: Any, client: Any
) -> None:
    yellow, blue = make_image("yellow"), make_image("blue")
    async with connect(engine=hedging) as able:
        one = (await able.post("/classify?certainty=0.7", content=yellow)).json()
        sure = (await able.post("/classify?certainty=0.9&top_k=1", content=blue)).json()
        none = (await able.post("/classify?certainty=0.95", content=blue)).json()
        plain = (await able.post("/classify", content=yellow)).json()
        files = make_files(yellow, b"no image", blue)
        batch = (await able.post("/classify/batch?certainty=0.9", files=files)).json()["results"]
        wrong = await able.post("/classify?certainty=1", content=yellow)
        both = await able.post("/classify?certainty=0.9&explain=cam", content=yellow)
        listed = (await able.get("/models")).json()["models"]
        info = (await able.get("/info")).json()["model"]
    assert list(one)[:2] == ["predictions", "hedged"]
    hedged = one["hedged"]
    assert hedged.pop("score") == pytest.approx(1, abs=0.01)
    assert hedged == {
        "label": "earth", "phrase": "an earth colour", "covers": 2, "path": [], "certainty": 0.9
    }  # fmt: skip
    assert (sure["hedged"]["label"], sure["hedged"]["phrase"]) == ("blue", None)
    assert sure["hedged"]["score"] == sure["predictions"][0]["score"]
    assert (none["hedged"]["covers"], none["hedged"]["score"]) == (3, 1.0)
    assert "hedged" not in plain
    assert plain["predictions"] == one["predictions"]
    assert [item.get("hedged", {}).get("label") for item in batch] == ["earth", None, "blue"]
    for refused in (wrong, both):
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_parameter")
    unable = await client.post("/classify?certainty=0.9", content=yellow)
    assert (unable.status_code, unable.json()["code"]) == (422, "no_hierarchy")
    assert unable.json()["type"] == "urn:bnn:problem:no_hierarchy"
    assert [model["has_hierarchy"] for model in listed] == [True]
    assert info["hierarchy"] == {
        "certainties": [0.5, 0.9, 0.99], "nodes": 2, "images": 40, "notice": None, "measured": None
    }  # fmt: skip
    assert (await client.get("/info")).json()["model"]["hierarchy"] is None
