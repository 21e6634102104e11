"""runtime.image_files.av1_header: headers bit by bit, frames with a size of their own, floods."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import InvalidImage
from runtime.image_files.av1_header import Av1Frames, measure_frames
from runtime.image_files.avif_boxes import read_items
from runtime.image_files.header import Steps
from tests.runtime.images import encode, make_photo

SEQUENCE, FRAME_HEADER, FRAME = 1, 3, 6
KEY, INTER, SWITCH = 0, 1, 3


def pack(*fields: tuple[int, int]) -> bytes:
    """Numbers of so many bits, one after the other."""
    text = "".join(f"{value:0{count}b}" for value, count in fields if count)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def make_unit(kind: int, content: bytes, sized: bool = True, layer: int | None = None) -> bytes:
    head = kind << 3 | (4 if layer is not None else 0) | (2 if sized else 0)
    length = bytes([len(content) & 0x7F | 0x80, len(content) >> 7]) if sized else b""
    return bytes([head]) + (b"" if layer is None else bytes([layer << 3])) + length + content


def list_colour(profile: int, bits: int, grey: bool, subsampling: tuple[int, int], srgb: bool):
    yield int(bits > 8), 1
    if profile == 2 and bits > 8:
        yield int(bits == 12), 1
    if profile != 1:
        yield int(grey), 1
    yield int(srgb), 1
    if srgb:
        yield from ((1, 8), (13, 8), (0, 8))
    if grey:
        yield 1, 1
        return
    if not srgb:
        yield 1, 1
        if profile == 2 and bits == 12:
            yield subsampling[0], 1
            if subsampling[0]:
                yield subsampling[1], 1
        if subsampling == (1, 1):
            yield 0, 2
    yield 0, 1


def make_sequence(
    width: int = 83,
    height: int = 61,
    profile: int = 0,
    bits: int = 8,
    grey: bool = False,
    subsampling: tuple[int, int] = (1, 1),
    srgb: bool = False,
    grain: bool = False,
    reduced: bool = False,
    timing: bool = False,
    model: bool = False,
    delay: bool = False,
    frame_ids: bool = False,
    screen: int | None = None,
    points: int = 1,
) -> bytes:
    """A sequence header unit."""

    def fields() -> Iterator[tuple[int, int]]:
        yield from ((profile, 3), (1, 1), (int(reduced), 1))
        if reduced:
            yield 8, 5
        else:
            yield int(timing), 1
            if timing:
                yield from ((1, 32), (30, 32), (0, 1), (int(model), 1))
                if model:
                    yield from ((9, 5), (1, 32), (9, 5), (11, 5))
            yield from ((int(delay), 1), (points - 1, 5))
            for _ in range(points):
                yield from ((0, 12), (9, 5), (1, 1))
                if timing and model:
                    yield from ((1, 1), (5, 10), (5, 10), (0, 1))
                if delay:
                    yield from ((1, 1), (3, 4))
        yield from ((15, 4), (11, 4), (width - 1, 16), (height - 1, 12))
        if not reduced:
            yield int(frame_ids), 1
            if frame_ids:
                yield from ((6, 4), (2, 3))
        yield 7, 3
        if not reduced:
            yield from ((15, 4), (1, 1), (3, 2))
            yield from ([(1, 1)] if screen is None else [(0, 1), (screen, 1)])
            if screen != 0:
                yield 1, 1
            yield 6, 3
        yield 7, 3
        yield from list_colour(profile, bits, grey, subsampling, srgb)
        yield from ((int(grain), 1), (1, 1))

    return make_unit(SEQUENCE, pack(*fields()))


def make_frame(
    kind: int = KEY,
    shown: bool = True,
    override: bool = False,
    existing: bool = False,
    before: tuple[tuple[int, int], ...] = ((1, 1), (1, 1)),  # screen content, whole-pixel motion
    timing: bool = False,
    unit: int = FRAME,
) -> bytes:
    """A frame unit: the beginning of its header, then other bits."""
    fields = [(int(existing), 1), (kind, 2), (int(shown), 1)]
    fields += [(0, 12)] if timing and shown else []
    fields += [] if shown else [(1, 1)]
    fields += [] if kind == SWITCH or (kind == KEY and shown) else [(0, 1)]
    fields += [(0, 1), *before]
    fields += [] if kind == SWITCH else [(int(override), 1)]
    return make_unit(unit, pack(*fields, (0x5A5A, 16)))


def measure(*units: bytes) -> Av1Frames | None:
    return measure_frames(b"".join(units), Steps("AVIF"))


@pytest.mark.parametrize(
    ("options", "sample_bytes"),
    [
        ({}, 1.5),
        ({"bits": 10}, 3),
        ({"grey": True}, 1),
        ({"grey": True, "bits": 10}, 2),
        ({"profile": 1, "subsampling": (0, 0)}, 3),
        ({"profile": 1, "subsampling": (0, 0), "bits": 10}, 6),
        ({"profile": 2, "subsampling": (1, 0)}, 2),
        ({"profile": 2, "subsampling": (1, 0), "bits": 10}, 4),
        ({"profile": 2, "subsampling": (1, 1), "bits": 12}, 3),
        ({"profile": 2, "subsampling": (1, 0), "bits": 12}, 4),
        ({"profile": 2, "subsampling": (0, 0), "bits": 12}, 6),
        ({"profile": 1, "subsampling": (0, 0), "srgb": True}, 3),
    ],
)
@pytest.mark.parametrize("grain", [False, True])
@pytest.mark.parametrize(
    ("others", "frame"),
    [
        ({}, {}),
        ({"reduced": True}, {}),
        ({"timing": True}, {}),
        ({"timing": True, "model": True, "points": 3}, {"timing": True}),
        ({"delay": True, "points": 32}, {}),
        ({"frame_ids": True, "screen": 1}, {"before": ((1, 1), (5, 11))}),
        ({"screen": 0}, {"before": ()}),
    ],
)
def test_reads_size_depth_and_grain(
    options: dict, sample_bytes: float, grain: bool, others: dict, frame: dict
) -> None:
    """Grain stands at the end of the header: where it is right, all before was read right."""
    grey = options.get("grey", False)
    for size in ((83, 61), (65_536, 4_096)):
        sequence = make_sequence(*size, grain=grain, **options, **others)
        assert measure(sequence, make_frame(**frame)) == Av1Frames(
            *size, sample_bytes, 1, grain, grey
        )


@pytest.mark.parametrize(
    ("sequence", "frame"),
    [
        ({}, {}),
        ({}, {"kind": INTER}),
        ({}, {"shown": False}),
        ({"screen": 0}, {"before": ()}),
        ({"screen": 1}, {"before": ((1, 1),)}),
        ({}, {"before": ((0, 1),)}),
        ({"frame_ids": True}, {"before": ((1, 1), (1, 1), (5, 11))}),
        ({"timing": True, "model": True}, {"timing": True}),
    ],
)
@pytest.mark.parametrize("unit", [FRAME, FRAME_HEADER])
def test_a_frame_may_bring_a_size_of_its_own(sequence: dict, frame: dict, unit: int) -> None:
    for override, size in ((False, (83, 61)), (True, (65_536, 4_096))):
        found = measure(
            make_sequence(**sequence), make_frame(override=override, unit=unit, **frame)
        )
        assert found is not None
        assert (found.width, found.height) == size


def test_switch_frames_always_do_and_shown_ones_never() -> None:
    found = measure(make_sequence(), make_frame(kind=SWITCH))
    assert found is not None
    assert found.width == 65_536
    found = measure(make_sequence(), make_frame(existing=True, override=True))
    assert found is not None
    assert found.width == 83


def test_the_largest_of_several_counts() -> None:
    units = [
        make_sequence(100, 20),
        make_frame(),
        make_unit(2, b""),
        make_sequence(10, 200, bits=10, grain=True),
        make_frame(kind=INTER),
        make_frame(existing=True),
    ]
    assert measure(*units) == Av1Frames(100, 200, 3, 3, True, False)


def test_units_with_layers_and_without_length() -> None:
    frame = make_frame()[3:]
    units = [
        make_sequence(),
        make_unit(FRAME, frame, layer=1),
        make_unit(FRAME, frame, sized=False),
    ]
    found = measure(*units)
    assert found is not None
    assert found.count == 2


@pytest.mark.parametrize(
    "units", [[], [make_sequence()], [make_frame()], [make_frame(), make_sequence()]]
)
def test_without_a_frame_behind_a_sequence_there_is_nothing(units: list[bytes]) -> None:
    assert measure(*units) is None


def test_floods_of_units_end() -> None:
    for unit in (make_unit(2, b""), make_sequence(), make_frame()):
        with pytest.raises(InvalidImage, match="AVIF"):
            measure(make_sequence(), unit * 30_000)


@given(st.binary(max_size=60))
def test_any_bytes_end_in_frames_or_an_expected_error(tail: bytes) -> None:
    for start in (b"", make_sequence()[:9], make_sequence()):
        try:
            found = measure(start, tail)
        except (IndexError, InvalidImage):
            continue
        assert found is None or (found.count > 0 and found.width <= 2**16)


@pytest.mark.parametrize(
    ("mode", "subsampling", "planes"),
    [
        ("RGB", "4:2:0", [1.5]),
        ("RGB", "4:2:2", [2]),
        ("RGB", "4:4:4", [3]),
        ("L", "4:0:0", [1]),
        ("RGBA", "4:2:0", [1.5, 1]),
    ],
)
def test_real_files(mode: str, subsampling: str, planes: list[float]) -> None:
    image = make_photo().convert(mode)
    if mode == "RGBA":
        image.putalpha(100)
    data = encode(image, "AVIF", subsampling=subsampling)
    items = read_items(data, Steps("AVIF"))
    found = [
        measure_frames(data[start:end], Steps("AVIF"))
        for item, [(start, end)] in items.places.items()
        if items.kinds[item] == b"av01"
    ]
    assert found == [Av1Frames(83, 61, size, 1, False, size == 1) for size in planes]
