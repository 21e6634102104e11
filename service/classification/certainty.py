"""POST /classify?certainty=0.95: the level that a query asks for, and a hedged answer in words."""

import re
from urllib.parse import parse_qs

from runtime import Hedged, Level
from service.classification.classifier import Classifier, InvalidCertainty, NoHierarchy
from service.messages.problems import Problem

_NUMBER = re.compile(r"[0-9]{0,3}\.?[0-9]{1,32}")


def read_level(query: bytes, classifier: Classifier) -> Level | None:
    """The level of a query string's `certainty`; None: there is none. Raises Problem."""
    if b"certainty" not in query and b"%" not in query:  # which may stand for one of its letters
        return None
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    if "certainty" not in values:
        return None
    if "explain" in values:
        raise Problem(
            "invalid_parameter",
            "certainty: expected without explain, whose answer is an image; found both. Ask for "
            "one of them.",
        )
    text = values["certainty"][-1]
    try:
        return classifier.find_level(float(text) if _NUMBER.fullmatch(text) else 0.0)
    except NoHierarchy as fault:
        raise Problem("no_hierarchy", str(fault)) from fault
    except InvalidCertainty as fault:
        raise Problem("invalid_parameter", f"certainty: {fault}") from fault


def describe_hedged(hedged: Hedged, classes: int) -> str:
    """In words: "cat"; "an animal, which one is uncertain"; or that nothing is certain enough."""
    if hedged.phrase is None:
        return hedged.label
    if hedged.covers == classes:
        return "nothing is certain enough"
    which = "one" if hedged.phrase.startswith(("a ", "an ")) else "kind"
    return f"{hedged.phrase}, which {which} is uncertain"
