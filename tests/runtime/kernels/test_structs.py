"""runtime.kernels.structs: the structs have the fields of csrc/bnn.h, in its order."""

import ctypes
import re
from pathlib import Path

import pytest

from runtime.kernels import structs

HEADER = Path(__file__).parents[3] / "runtime" / "csrc" / "bnn.h"
RENAMED = {"padding_before": "before", "padding_after": "after"}


def fields_in_header(name: str) -> list[str]:
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    match = re.search(rf"typedef struct \{{([^}}]*)\}} {name};", text)
    assert match is not None
    declarations = [line for line in match[1].split(";") if line.strip()]
    names = [part for line in declarations for part in line.split(",")]
    return [re.sub(r"\[.*", "", part).split()[-1].lstrip("*") for part in names]


@pytest.mark.parametrize(
    ("name", "struct"),
    [
        ("bnn_implementation", structs.Implementation),
        ("bnn_window", structs.Window),
        ("bnn_binary_layer", structs.BinaryLayer),
        ("bnn_stage", structs.Stage),
        ("bnn_int8", structs.Int8),
        ("bnn_convolution", structs.Convolution),
        ("bnn_stem", structs.Stem),
        ("bnn_transition", structs.Transition),
        ("bnn_head", structs.Head),
        ("bnn_part_info", structs.PartInfo),
    ],
)
def test_fields_are_those_of_the_header(name: str, struct: type[ctypes.Structure]) -> None:
    expected = [RENAMED.get(field, field) for field in fields_in_header(name)]
    assert [field[0] for field in struct._fields_] == expected
