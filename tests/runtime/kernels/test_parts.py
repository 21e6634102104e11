"""Descriptions of parts are plain immutable records."""

import dataclasses

import pytest

from runtime.kernels.parts import Window


def test_windows_have_no_padding_unless_told():
    assert dataclasses.astuple(Window(3, 2)) == (3, 2, 0, 0)


def test_descriptions_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Window(3, 2).kernel = 5  # type: ignore[misc]
