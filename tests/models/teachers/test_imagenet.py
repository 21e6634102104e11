"""models.teachers.imagenet: teachers see their own size, and their answers are averaged."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from models.data.preprocessing import whole_preprocessing
from models.errors import RecipeError
from models.teachers.answers import CLASSES, StoredAnswers, keep_likeliest
from models.teachers.imagenet import (
    Asked,
    ask,
    ask_new,
    load_bundle,
    load_efficientnet,
    load_teacher,
)

DEFAULT = Path(__file__).parents[3] / "service" / "bundles" / "default"


def sides(inputs: torch.Tensor) -> torch.Tensor:
    """Two classes: likelier the second, the larger the input."""
    return torch.stack((torch.zeros(len(inputs)), torch.full((len(inputs),), inputs.shape[-1])), 1)


def test_probabilities_of_the_teachers_are_averaged() -> None:
    teachers = [
        Asked("a", whole_preprocessing(1), sides),
        Asked("b", whole_preprocessing(2), sides),
    ]
    answers = ask(teachers, torch.zeros(33, 3, 8, 8, dtype=torch.uint8))
    expected = np.mean([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-2))])
    assert answers.shape == (33, 2)
    assert np.allclose(answers[:, 1], expected)


def test_a_bundle_can_be_asked() -> None:
    asked, labels = load_bundle(DEFAULT)
    answers = asked(torch.zeros(2, 3, 100, 100, dtype=torch.uint8))
    assert answers.shape == (2, len(labels))
    assert np.allclose(answers.sum(1), 1, atol=1e-5)
    with pytest.raises(RecipeError, match=rf"expected a bundle with ImageNet's {CLASSES} labels"):
        load_teacher(str(DEFAULT))


def test_an_unknown_teacher_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"expected a teacher: one of efficientnet-lite0.*nosuch"):
        load_teacher("nosuch")


def test_efficientnet_answers_as_in_pytorch() -> None:
    if importlib.util.find_spec("efficientnet_lite_pytorch") is None:
        pytest.skip("EfficientNet-Lite is not installed: make teachers")
    network, preprocessing = load_efficientnet("efficientnet-lite0")
    pixels = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        plain = Asked("plain", preprocessing, network)(pixels)
    assert np.allclose(load_teacher("efficientnet-lite0")(pixels), plain, atol=1e-4)


def test_images_with_an_earlier_answer_are_not_asked_about_again() -> None:
    asked: list[int] = []

    def count(inputs: torch.Tensor) -> torch.Tensor:
        asked.append(len(inputs))
        return torch.zeros(len(inputs), CLASSES)

    teacher = Asked("a", whole_preprocessing(1), count)
    dense = np.zeros((1, CLASSES), np.float32)
    dense[0, 7] = 1
    earlier = keep_likeliest(["cat/b.jpg"], dense, ["a"])
    pixels = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    names = ["unlabelled/a.jpg", "unlabelled/b.jpg", "dog/c.jpg"]
    answers = ask_new([teacher], names, pixels, earlier)
    assert asked == [2]
    assert answers[:, 7].argmax() == 1
    assert np.allclose(answers.sum(1), 1, atol=1e-3)
    other = StoredAnswers(earlier.names, earlier.classes, earlier.probabilities, ("b",))
    with pytest.raises(RecipeError, match=r"expected answers of a; found those of b"):
        ask_new([teacher], names, pixels, other)
