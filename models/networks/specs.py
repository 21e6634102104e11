"""The table of MeliusNet and BinaryDenseNet variants: a variant is data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from runtime.kernels.bitpack import GROWTH as GROWTH  # a dense block adds, an improvement refines

StemName = Literal["grouped", "imagenet7x7", "thumbnail", "small"]

INITIAL_CHANNELS = 64  # channels after the stem
SHUFFLE_GROUPS = 16  # where a variant shuffles at all


@dataclass(frozen=True)
class Spec:
    """One network.

    Blocks per stage, channels after each transition, and what else differs between variants.
    """

    name: str
    blocks: tuple[int, ...]
    transitions: tuple[int, ...]
    groups: int = 1  # of the 1x1 convolution in a transition
    shuffle: bool = False  # channel shuffle before it
    improvement: bool = True  # False: BinaryDenseNet
    binary: bool = True  # False: the full-precision reference, to compare with and to learn from
    stem: StemName = "grouped"
    padding: int = -1  # value around a binarized map
    shift: float = 0.0  # unbalanced activation threshold, see models.networks.binary

    def __post_init__(self) -> None:
        if len(self.transitions) != len(self.blocks) - 1:
            raise ValueError(
                f"{self.name}: {len(self.blocks)} stages need {len(self.blocks) - 1} transitions, "
                f"found {len(self.transitions)}"
            )
        if any(channels % 32 for channels in self.transitions):
            raise ValueError(f"{self.name}: channels {self.transitions} must be multiples of 32")
        if self.stem not in get_args(StemName):
            raise ValueError(
                f"{self.name}: unknown stem {self.stem!r}; known: {get_args(StemName)}"
            )

    @property
    def stage_channels(self) -> tuple[tuple[int, int], ...]:
        """(in, out) channels of each stage."""
        entries = (INITIAL_CHANNELS, *self.transitions)
        return tuple((c, c + GROWTH * n) for c, n in zip(entries, self.blocks, strict=True))


def _spec(name: str, blocks: str, transitions: str, **options: object) -> Spec:
    return Spec(
        name,
        tuple(int(n) for n in blocks.split()),
        tuple(int(c) for c in transitions.split()),
        **options,  # type: ignore[arg-type]
    )


SPECS: dict[str, Spec] = {
    spec.name: spec
    for spec in (
        _spec("meliusnet22", "4 5 4 4", "160 224 256"),
        _spec("meliusnet23", "2 4 6 6", "128 192 288", groups=8, shuffle=True),
        _spec("meliusnet29", "4 6 8 6", "128 192 256"),
        _spec("meliusnet42", "5 8 14 10", "160 256 416"),
        _spec("meliusnet59", "6 12 24 12", "192 320 544"),
        _spec("meliusneta", "4 5 5 6", "160 256 288", groups=4, shuffle=True),
        _spec("meliusnetb", "4 6 8 6", "160 224 320", groups=2, shuffle=True),
        _spec("meliusnetc", "3 5 10 6", "128 192 288", groups=4, shuffle=True),
        _spec("binarydensenet28", "6 6 6 5", "160 192 256", improvement=False),
        _spec("binarydensenet37", "6 8 12 6", "128 192 256", improvement=False),
        _spec("binarydensenet45", "6 12 14 8", "160 288 288", improvement=False),
        # Ours, for images of 32 to 64 pixels; named like the others, pairs + 5.
        _spec("meliusnet13", "2 2 2 2", "128 192 256", stem="small"),
        # MeliusNet13 with more blocks in its later stages, which cost little time; it can be grown
        # from that one (models.training.growth).
        _spec("meliusnet24", "2 3 6 8", "128 192 256"),
    )
}


def find_spec(name: str, **changes: object) -> Spec:
    """The variant called `name`, with some fields replaced.

    Raises ValueError naming the known ones.
    """
    if name not in SPECS:
        raise ValueError(f"unknown network {name!r}; known: {', '.join(SPECS)}")
    return replace(SPECS[name], **changes)  # type: ignore[arg-type]
