"""runtime.image_files.faults: every text says expected, found and remedy, and names the format."""

import pytest

from runtime import ImageTooLarge, InvalidImage, UnsupportedImage
from runtime.image_files.faults import ACCEPTED, NAMES, damaged, incomplete, too_large, unsupported


@pytest.mark.parametrize("kind", NAMES)
def test_faults_of_a_file_name_its_format_as_people_do(kind: str) -> None:
    for fault in (damaged(kind), incomplete(kind)):
        assert type(fault) is InvalidImage
        assert f" {NAMES[kind]} file; found " in str(fault)
        assert str(fault).startswith("expected a ")


def test_formats_that_are_read_are_listed() -> None:
    assert all(name in ACCEPTED for name in NAMES.values())
    fault = unsupported("what looks like GIF")
    assert isinstance(fault, UnsupportedImage)
    assert str(fault) == (
        "expected a JPEG, PNG, WebP or AVIF file; found what looks like GIF. "
        "Convert the image to one of these."
    )


def test_a_limit_is_told_with_what_exceeds_it() -> None:
    fault = too_large("scans", 20, 21, "Save it as a baseline JPEG.")
    assert isinstance(fault, ImageTooLarge)
    assert str(fault) == "expected at most 20 scans; found 21. Save it as a baseline JPEG."
