"""Reads the headers of AV1 coded data bit by bit: the size, depth and number of its frames.

The container of an AVIF file has a size as well, which the decoder ignores: an image that is small
by its container may be huge by its code.
"""

from dataclasses import dataclass

from runtime.image_files.header import Steps

_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6  # types of units (OBU)
_HEADER_BYTES = 256  # more than a sequence header or the start of a frame header has
_HEADER_STEPS = 20  # what reading one takes, in visits of a unit
_KEY, _SWITCH = 0, 3  # types of frames
_CHOSEN_BY_FRAME = 2
_SRGB = (1, 13, 0)  # colour description that means RGB without subsampling


@dataclass(frozen=True)
class Av1Frames:
    """The largest frames of coded data: sides, bytes of all planes for a pixel, and how many.

    `grain`: film grain is added, into a frame of its own. `grey`: there is one plane.
    """

    width: int
    height: int
    pixel_bytes: float
    count: int
    grain: bool
    grey: bool


class _Bits:
    """Reads numbers of any count of bits, the highest first; zeros behind the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data.ljust(_HEADER_BYTES, b"\0")[:_HEADER_BYTES])
        self._left = 8 * _HEADER_BYTES

    def __call__(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError("the header goes on behind its end")
        return self._value >> self._left & (1 << count) - 1

    def skip_number(self) -> None:
        """One of variable length (uvlc)."""
        zeros = 0
        while not self(1):
            zeros += 1
        self(min(zeros, 32))


@dataclass
class _Sequence:
    """What a sequence header leaves for the frame headers behind it."""

    width: int
    height: int
    largest_width: int  # that its fields can hold, for frames which override the size
    largest_height: int
    reduced: bool
    sample_bytes: int
    pixel_bytes: float
    grain: bool
    screen_content: int
    integer_motion: int
    frame_id_bits: int
    timing_bits: int


def measure_frames(data: bytes | memoryview, steps: Steps) -> Av1Frames | None:
    """Walks all units of coded data; None if no frame can be decoded from it.

    Raises:
        InvalidImage: no more steps; IndexError: a field is cut off.
    """
    sequence: _Sequence | None = None
    width = height = count = position = 0
    pixel_bytes, grain, grey = 0.0, False, True
    while position < len(data):
        steps.take()
        first = data[position]
        kind = first >> 3 & 15
        position += 2 if first & 4 else 1  # an extension tells the layer
        length = len(data) - position
        if first & 2:
            length, position = _read_length(data, position)
        content = bytes(data[position : position + min(length, _HEADER_BYTES)])
        position += length
        if kind == _SEQUENCE_HEADER:
            steps.take(_HEADER_STEPS)
            sequence = _read_sequence(_Bits(content))
            pixel_bytes = max(pixel_bytes, sequence.pixel_bytes)
            grain |= sequence.grain
            grey &= sequence.pixel_bytes == sequence.sample_bytes
        elif kind in (_FRAME_HEADER, _FRAME) and sequence is not None:
            steps.take(_HEADER_STEPS)
            count += 1
            own_size = not sequence.reduced and _overrides_size(_Bits(content), sequence)
            width = max(width, sequence.largest_width if own_size else sequence.width)
            height = max(height, sequence.largest_height if own_size else sequence.height)
    return Av1Frames(width, height, pixel_bytes, count, grain, grey) if count else None


def _read_length(data: bytes | memoryview, position: int) -> tuple[int, int]:
    length = 0
    for i in range(8):
        byte = data[position + i]
        length |= (byte & 0x7F) << 7 * i
        if not byte & 0x80:
            break
    return length, position + i + 1


def _read_sequence(bits: _Bits) -> _Sequence:
    """A sequence header, in the order of the AV1 specification, section 5.5."""
    profile = bits(3)
    bits(1)
    reduced = bool(bits(1))
    timing_bits = 0
    if reduced:
        bits(5)
    else:
        timing_bits = _skip_operating_points(bits)
    width_bits, height_bits = bits(4) + 1, bits(4) + 1
    width, height = bits(width_bits) + 1, bits(height_bits) + 1
    frame_id_bits = bits(4) + bits(3) + 3 if not reduced and bits(1) else 0
    bits(3)
    screen_content = integer_motion = _CHOSEN_BY_FRAME
    if not reduced:
        bits(4)
        ordered = bits(1)
        bits(2 if ordered else 0)
        screen_content = _CHOSEN_BY_FRAME if bits(1) else bits(1)
        if screen_content:
            integer_motion = _CHOSEN_BY_FRAME if bits(1) else bits(1)
        bits(3 if ordered else 0)
    bits(3)
    sample_bytes, pixel_bytes = _read_colour(bits, profile)
    return _Sequence(
        width,
        height,
        1 << width_bits,
        1 << height_bits,
        reduced,
        sample_bytes,
        pixel_bytes,
        bool(bits(1)),
        screen_content,
        integer_motion,
        frame_id_bits,
        timing_bits,
    )


def _skip_operating_points(bits: _Bits) -> int:
    """Returns the bits of a frame's time stamp, 0 where frames have none."""
    timing_bits = decoder_model = equal = 0
    delay_bits = 0
    if bits(1):
        bits(64)
        equal = bits(1)
        if equal:
            bits.skip_number()
        decoder_model = bits(1)
        if decoder_model:
            delay_bits = bits(5) + 1
            bits(32 + 5)
            timing_bits = bits(5) + 1
    initial_delay = bits(1)
    for _ in range(bits(5) + 1):
        bits(12)
        if bits(5) > 7:
            bits(1)
        if decoder_model and bits(1):
            bits(2 * delay_bits + 1)
        if initial_delay and bits(1):
            bits(4)
    return 0 if equal else timing_bits


def _read_colour(bits: _Bits, profile: int) -> tuple[int, float]:
    """Bytes of a sample, and of all planes for a pixel."""
    deep = bits(1)
    twelve = profile == 2 and deep and bits(1)
    grey = profile != 1 and bits(1)
    described = (bits(8), bits(8), bits(8)) if bits(1) else None
    sample = 2 if deep else 1
    if grey:
        bits(1)
        return sample, sample
    if described == _SRGB:
        bits(1)
        return sample, 3 * sample
    bits(1)
    across, down = {0: (1, 1), 1: (0, 0)}.get(profile, (1, 0))
    if twelve:
        across = bits(1)
        down = bits(1) if across else 0
    if across and down:
        bits(2)
    bits(1)
    return sample, sample * (1 + 2 / ((1 + across) * (1 + down)))


def _overrides_size(bits: _Bits, sequence: _Sequence) -> bool:
    """Whether a frame header brings a size of its own, section 5.9.2."""
    if bits(1):  # shows a frame that was decoded before
        return False
    kind, shown = bits(2), bits(1)
    if shown:
        bits(sequence.timing_bits)
    else:
        bits(1)
    if kind != _SWITCH and not (kind == _KEY and shown):
        bits(1)
    bits(1)
    screen_content = sequence.screen_content
    if screen_content == _CHOSEN_BY_FRAME:
        screen_content = bits(1)
    if screen_content and sequence.integer_motion == _CHOSEN_BY_FRAME:
        bits(1)
    bits(sequence.frame_id_bits)
    return kind == _SWITCH or bool(bits(1))
