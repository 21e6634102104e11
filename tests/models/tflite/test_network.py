"""models.tflite.network: parts join only in their order and only to a whole classifier."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.tflite.network import MismatchedParts, Part, UnsupportedTflite, join_parts
from models.tflite.reader import read_tflite
from tests.models.tflite_files import cut, make_file


@pytest.fixture
def parts(rng: np.random.Generator, tmp_path: Path) -> list[Part]:
    halves = cut(make_file(rng), after=3)
    return [read_tflite(f.write(tmp_path / n)) for f, n in zip(halves, ("a", "b"), strict=True)]


def test_parts_in_order_are_the_whole(rng: np.random.Generator, parts: list[Part]) -> None:
    layers = join_parts(parts)
    assert layers == parts[0].layers + parts[1].layers
    assert len(layers) == 5


def test_wrong_order_names_the_right_one(parts: list[Part]) -> None:
    with pytest.raises(MismatchedParts, match=r"in another order; give a b\."):
        join_parts(parts[::-1])


def test_files_of_different_networks_are_refused(parts: list[Part]) -> None:
    with pytest.raises(MismatchedParts, match="not of one network"):
        join_parts([parts[0], parts[0]])
    first, *others = parts[1].layers
    quantization = replace(first.input.quantization, zero_point=1)
    shifted = replace(first, input=replace(first.input, quantization=quantization))
    with pytest.raises(MismatchedParts, match=r"zero point 0; found uint8.*zero point 1"):
        join_parts([parts[0], Part("b", (shifted, *others))])


def test_first_part_alone_is_no_classifier(parts: list[Part]) -> None:
    with pytest.raises(UnsupportedTflite, match="give the other part after it"):
        join_parts(parts[:1])


def test_second_part_alone_takes_no_image(parts: list[Part]) -> None:
    with pytest.raises(UnsupportedTflite, match="give the first part before it"):
        join_parts(parts[1:])
