"""Frames of a camera, and what can be wrong with where they come from; see the tree of faults.

SourceUnusable             what was named cannot be a source of frames; ends the watch at its start
├── UnknownSource          neither a folder nor an http or https URL
├── NoSuchFolder           no folder of this name, or one that cannot be read
├── NotAnImage             the URL answers with something else, a page for one
├── CameraRefuses          the URL answers with a status that trying again does not change
└── BrokenStream           a stream without boundaries, or with a part that does not end
SourceLost                 the camera was there and gives nothing; it is tried again
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class SourceUnusable(Exception):
    """This name cannot be a source of frames; the text says expected, found, remedy."""


class UnknownSource(SourceUnusable):
    """The source is neither a folder nor an http or https URL."""


class NoSuchFolder(SourceUnusable):
    """There is no folder of this name, or it cannot be read."""


class NotAnImage(SourceUnusable):
    """The URL answers with something else than an image or a stream of images."""


class CameraRefuses(SourceUnusable):
    """The URL answers with a status that another try would not change."""


class BrokenStream(SourceUnusable):
    """The stream has no boundaries, or one of its parts does not end."""


class SourceLost(Exception):
    """The source sends no frames at the moment; the text says why."""


@dataclass(frozen=True)
class Frame:
    """The bytes of an image as the camera sent them, and their origin.

    `passed_over`: older frames that were skipped in favour of this one.
    """

    data: bytes
    name: str
    passed_over: int = 0


class Source(Protocol):
    """A source of frames; its name can be printed."""

    name: str

    def frames(self) -> Iterator[Frame]:
        """Yields frames as they come, until the source ends or is stopped; may be called again.

        Raises SourceUnusable, SourceLost, ExchangeFailed, OSError.
        """
        ...
