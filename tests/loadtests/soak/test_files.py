"""The files of the soak: good ones open, and every one is of the kind that its statuses say."""

import io

import pytest
from PIL import Image

from loadtests.soak.files import make_bad, make_good, make_too_long


def test_good_images_open_and_are_of_many_kinds(seed: int) -> None:
    kinds = set()
    for file in make_good(seed):
        assert file.allowed == {200}
        with Image.open(io.BytesIO(file.data), formats=("JPEG", "PNG", "WEBP")) as image:
            image.load()
            kinds.add((image.format, image.mode))
    assert {mode for _, mode in kinds} >= {"RGB", "L", "CMYK", "RGBA", "P", "I;16"}
    assert {name for name, _ in kinds} == {"JPEG", "PNG", "WEBP"}


def test_names_tell_files_apart_and_seeds_repeat_them(seed: int) -> None:
    files = make_good(seed) + make_bad(seed)
    assert len({file.name for file in files}) == len(files)
    assert files == make_good(seed) + make_bad(seed)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_files_are_none_that_have_to_be_classified(seed: int) -> None:
    for file in make_bad(seed):
        assert file.allowed - {200}
        if 200 in file.allowed or file.allowed == {415}:
            continue  # readable perhaps, or in a format of its own
        with pytest.raises((OSError, Image.DecompressionBombError, SyntaxError)):
            Image.open(io.BytesIO(file.data), formats=("JPEG", "PNG", "WEBP")).load()


def test_too_long_is_longer_than_the_limit() -> None:
    assert len(make_too_long(1000).data) > 1000
