"""models.albums.exif: times with fractions and zones, cameras, places; damage is no error."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.albums.exif import Taken, read_taken
from tests.models.albums.albums import make_photo

TIME = datetime(2024, 5, 1, 12, 0, 3, tzinfo=UTC).timestamp()


def test_time_fraction_zone_camera_serial_and_place() -> None:
    data = make_photo(
        "2024:05:01 12:00:03",
        {0x9291: "250", 0x9011: "+02:00", 0xA431: "A7"},
        {1: "S", 2: (33.0, 30.0, 36.0), 3: "W", 4: (70.0, 0.0, 0.0)},
        "Trap 3",
    )
    place = (-33.51, -70.0)
    assert read_taken(data) == Taken(TIME + 0.25, 7200.0, "Trap 3", "A7", place)


@pytest.mark.parametrize(
    ("time", "tags", "seconds", "zone"),
    [
        ("2024:05:01 12:00:03", {0x9291: "5"}, TIME + 0.5, None),
        ("2024:05:01 12:00:03", {0x9291: "x"}, TIME, None),
        ("2024:05:01 12:00:03", {0x9011: "-03:30"}, TIME, -12600.0),
        ("2024:05:01 12:00:03", {0x9011: "+99:00"}, TIME, None),
        ("2024:05:01 12:00:03", {0x9011: "Z"}, TIME, None),
        ("2024:13:01 12:00:03", {}, None, None),
        ("0000:00:00 00:00:00", {}, None, None),
        ("    :  :     :  :  ", {}, None, None),
        ("yesterday", {}, None, None),
        ("1970:01:01 00:00:00", {}, 0.0, None),
    ],
)
def test_odd_times(
    time: str, tags: dict[int, str], seconds: float | None, zone: float | None
) -> None:
    taken = read_taken(make_photo(time, tags))
    assert (taken.seconds, taken.zone) == (seconds, zone)


@pytest.mark.parametrize(
    "gps",
    [
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},  # no reception
        {1: "N", 2: (99.0, 0.0, 0.0), 3: "E", 4: (10.0, 0.0, 0.0)},
        {2: (9.0, 0.0, 0.0), 4: (10.0, 0.0, 0.0)},  # no side
        {1: "N", 2: (9.0, 0.0, 0.0)},
    ],
)
def test_places_that_are_none(gps: dict[int, object]) -> None:
    assert read_taken(make_photo(gps=gps)).place is None


def test_a_photo_without_exif_says_nothing() -> None:
    assert read_taken(make_photo()) == Taken()


def test_control_characters_are_no_part_of_a_camera() -> None:
    assert read_taken(make_photo(camera="Tr\x07ap\n")).camera == "Trap"


@given(st.data())
def test_damaged_metadata_never_fails(data: st.DataObject) -> None:
    photo = bytearray(make_photo("2024:05:01 12:00:03", {0x9011: "+02:00"}, {1: "N"}, "C"))
    for _ in range(data.draw(st.integers(1, 8))):
        photo[data.draw(st.integers(2, 200))] = data.draw(st.integers(0, 255))
    taken = read_taken(bytes(photo[: data.draw(st.integers(0, len(photo)))]))
    assert taken.seconds is None or abs(taken.seconds) < 1e12
