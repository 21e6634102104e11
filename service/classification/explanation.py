"""POST /classify?explain=cam: the wish in a query, and the image that answers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, quote

import numpy as np
import numpy.typing as npt

from runtime import restore_pixels
from service.classification.classifier import Classifier, Prediction
from service.classification.overlay import BYTES_PER_PIXEL, draw_overlay, encode_png
from service.messages.problems import Problem

METHODS = ("cam",)


@dataclass(frozen=True)
class Wish:
    """The class whose activation map a request wants; None: the best one."""

    class_index: int | None = None


@dataclass(frozen=True)
class Explanation:
    """A PNG of the network's input, coloured by the map of a class; and that class."""

    png: bytes
    prediction: Prediction

    def list_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that name the class; the label is percent-encoded UTF-8."""
        item = self.prediction
        return [
            (b"content-type", b"image/png"),
            (b"x-class-label", quote(item.label, safe=" ").encode()),
            (b"x-class-index", b"%d" % item.index),
            (b"x-class-score", b"%.6f" % item.score),
        ]


def read_wish(query: bytes, classifier: Classifier) -> Wish | None:
    """The wish of a query string; None: there is none. Raises Problem."""
    if b"explain" not in query and b"class" not in query and b"%" not in query:
        return None
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    method = _read_last(values, "explain")
    wanted = _read_last(values, "class")
    if method is None:
        if wanted is None:
            return None
        raise Problem(
            "invalid_parameter",
            "class: expected beside explain=cam, whose class it names; found it alone. Add "
            "explain=cam, or leave it out.",
        )
    if method not in METHODS:
        raise Problem(
            "invalid_parameter",
            "explain: expected cam, a class activation map; found something else. Correct it, or "
            "leave it out.",
        )
    if not classifier.engine.explains:
        raise Problem(
            "not_explainable",
            "expected an engine that shows the network's last feature map, native or torchscript; "
            f"found {classifier.engine.name}, which shows the logits alone. Leave out explain, or "
            "serve a bundle that has a plan of layer groups.",
        )
    return Wish(None if wanted is None else _find_class(wanted, classifier.manifest.labels))


def refuse_wish(query: bytes) -> None:
    """Refuses the wish on routes that explain nothing. Raises Problem."""
    coded = b"explain" in query or b"%" in query  # which may stand for one of its letters
    if coded and "explain" in parse_qs(query.decode("latin-1"), True):
        raise Problem(
            "invalid_parameter",
            "explain: expected on /classify, which takes one image; found it elsewhere. Ask there, "
            "or leave it out.",
        )


def explain(
    classifier: Classifier,
    tensor: npt.NDArray[np.float32],
    logits: npt.NDArray[np.float32],
    wish: Wish,
) -> Explanation:
    """Explains one image by its tensor [3, H, W] and its logits [classes].

    Raises ArithmeticError.
    """
    ranked = classifier.rank(logits, len(logits))
    index = ranked[0].index if wish.class_index is None else wish.class_index
    (activation,) = classifier.engine.explain(tensor[np.newaxis], index)
    pixels = restore_pixels(tensor, classifier.manifest.preprocessing)
    png = encode_png(draw_overlay(pixels, activation))
    return Explanation(png, next(item for item in ranked if item.index == index))


def measure_explanation(classifier: Classifier) -> int:
    """Max bytes of `explain`: first for the map, then for drawing it."""
    _, height, width = classifier.manifest.input
    return max(classifier.engine.explain_bytes, BYTES_PER_PIXEL * height * width)


def _read_last(values: Mapping[str, list[str]], name: str) -> str | None:
    given = values.get(name)
    return None if given is None else given[-1]


def _find_class(text: str, labels: Sequence[str]) -> int:
    """A class by its label or index; a text that is both is the label."""
    if text in labels:
        return labels.index(text)
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) < len(labels):
        return int(text)
    raise Problem(
        "invalid_parameter",
        f"class: expected a label of the model, or an index from 0 to {len(labels) - 1}; found "
        "something else. /info lists the labels.",
    )
