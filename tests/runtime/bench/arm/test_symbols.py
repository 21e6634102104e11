"""Whose code an address is: functions of the library, else the mapped file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.bench.arm.symbols import (
    UNKNOWN,
    Function,
    Mapping,
    Symbols,
    parse_functions,
    parse_maps,
    shorten,
)

MAPS = """\
400000-916000 r-xp 00000000 fe:00 2541534                                /root/usr/bin/python3.11
916000-92f000 ---p 00000000 00:00 0
5500000000-5500080000 r-xp 00000000 fe:00 25                             /a b/libbnn.so
5500080000-5500090000 rw-p 0007f000 fe:00 25                             /a b/libbnn.so
5500100000-5500200000 rw-p 00000000 00:00 0                              [stack]
"""
NM = """\
000000000007ff90 a _GLOBAL_OFFSET_TABLE_
0000000000001000 0000000000000100 T bnn_abi
0000000000002000 0000000000001c58 t void bnn::(anonymous namespace)::sum_group<10, 10, 4>(int)
0000000000004000 0000000000000010 b bnn::counter
                 U memcpy
"""


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("bnn_abi", "bnn_abi"),
        ("void bnn::(anonymous namespace)::sum_group<10, 8, 4>(char const*)", "sum_group"),
        (
            "bnn::(anonymous namespace)::dot::convolve_cell_row(bnn::Job const&)",
            "dot::convolve_cell_row",
        ),
        ("bnn::(anonymous namespace)::StemWalk::convolve(int)", "StemWalk::convolve"),
        ("bnn::check(char const*) [clone .part.0]", "check"),
        ("int bnn::(anonymous namespace)::plan<bnn::bytes(long)::{lambda(int)#1", "plan"),
        ("fill.constprop.0", "fill"),
    ],
)
def test_names_are_those_of_the_source(name: str, short: str) -> None:
    assert shorten(name) == short


def test_functions_have_a_size() -> None:
    assert parse_functions(NM) == [
        Function(0x1000, 0x1100, "bnn_abi"),
        Function(0x2000, 0x3C58, "sum_group"),
    ]


def test_files_in_memory_are_found() -> None:
    assert parse_maps(MAPS)[1] == Mapping(0x5500000000, 0x5500080000, "/a b/libbnn.so")
    assert len(parse_maps(MAPS)) == 3


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0x5500001000, "bnn_abi"),
        (0x55000010FF, "bnn_abi"),
        (0x5500001100, "libbnn.so"),
        (0x5500002004, "sum_group"),
        (0x500000, "python3.11"),
        (0x5500100000, UNKNOWN),
        (0, UNKNOWN),
    ],
)
def test_addresses_have_names(address: int, name: str) -> None:
    assert Symbols(MAPS, "/a b/libbnn.so", parse_functions(NM)).name(address) == name


@given(st.integers(0, 2**50))
def test_without_the_library_files_have_names(address: int) -> None:
    assert Symbols(MAPS, "/elsewhere", parse_functions(NM)).name(address) in {
        *("python3.11", "libbnn.so", UNKNOWN)
    }
