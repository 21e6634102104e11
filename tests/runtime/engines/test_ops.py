"""The torch operators: equal to their NumPy definition, opcheck clean, with clear errors."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from runtime.engines import ops
from runtime.engines.prepare import prepare_parts
from runtime.errors import NativeUnavailable, TorchUnavailable
from runtime.kernels import bitpack, library
from runtime.kernels.parts import Part
from tests.runtime.bundles import make_images, make_network

ops.load_operators()
SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1.0]
OPCHECKS = (
    "test_schema",
    "test_autograd_registration",
    "test_faketensor",
    "test_aot_dispatch_dynamic",
)


def words_tensor(words: np.ndarray) -> Tensor:
    return torch.from_numpy(words.view(np.int32))


def part_tensor(part: Part) -> Tensor:
    return torch.from_numpy(part.copy()).clone()  # torch aligns its own memory as parts need it


def random_words(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, 2**32, shape, dtype=np.uint32)


@pytest.fixture(scope="module")
def stem() -> tuple[Tensor, Tensor, list[int]]:
    """(images, part, output) of a call that is right."""
    plan, tensors = make_network()
    images = torch.from_numpy(make_images(plan, 3))
    return images, part_tensor(prepare_parts(plan, tensors)[0]), list(plan[0].output)


# ---- results ----


@pytest.mark.parametrize("shape", [(32,), (5, 96), (2, 3, 4, 64), (0, 32)])
def test_pack_equals_its_definition(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    x = rng.standard_normal(shape).astype(np.float32)
    x[..., : len(SPECIAL)] = SPECIAL
    threshold = rng.standard_normal(shape[-1]).astype(np.float32)
    threshold[:6] = 0.0
    flip = random_words(rng, shape[-1] // 32)
    found = torch.ops.bnn.pack(torch.from_numpy(x), torch.from_numpy(threshold), words_tensor(flip))
    assert found.dtype == torch.int32
    assert np.array_equal(found.numpy().view(np.uint32), bitpack.pack(x, threshold, flip))


@pytest.mark.parametrize("padding", [-1, 0, 1])
@pytest.mark.parametrize(("n", "side", "channels", "outputs"), [(1, 1, 32, 1), (2, 5, 96, 65)])
def test_conv3x3_equals_its_definition(
    rng: np.random.Generator, n: int, side: int, channels: int, outputs: int, padding: int
) -> None:
    x = random_words(rng, n, side, side + 1, channels // 32)
    weight = random_words(rng, outputs, 3, 3, channels // 32)
    found = torch.ops.bnn.conv3x3(words_tensor(x), words_tensor(weight), padding)
    assert np.array_equal(found.numpy(), bitpack.conv3x3(x, weight, padding))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_conv3x3_is_the_same_for_any_batch_and_thread_count(
    rng: np.random.Generator, n: int, threads: int
) -> None:
    x, weight = random_words(rng, n, 4, 3, 2), random_words(rng, 64, 3, 3, 2)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = torch.ops.bnn.conv3x3(words_tensor(x), words_tensor(weight), -1)
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found.numpy(), bitpack.conv3x3(x, weight, -1).reshape(found.shape))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_run_part_equals_the_c_abi_for_any_batch_and_thread_count(n: int, threads: int) -> None:
    plan, tensors = make_network(pairs=(2, 1))
    x = make_images(plan, n)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for step, part in zip(plan, prepare_parts(plan, tensors), strict=True):
            expected = library.run_part(part, x)
            found = torch.ops.bnn.run_part(
                torch.from_numpy(x), part_tensor(part), list(step.output)
            )
            assert np.array_equal(found.numpy(), expected), step.name
            x = expected
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_run_network_equals_its_parts_for_any_batch_and_thread_count(n: int, threads: int) -> None:
    plan, tensors = make_network(pairs=(2, 1))
    x = expected = make_images(plan, n)
    parts = prepare_parts(plan, tensors)
    for part in parts:
        expected = library.run_part(part, expected)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = torch.ops.bnn.run_network(
            torch.from_numpy(x), [part_tensor(part) for part in parts], list(plan.output)
        )
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found.numpy(), expected)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc/self/maps")
def test_process_holds_one_kernel_library() -> None:
    lines = Path("/proc/self/maps").read_text().splitlines()
    assert len({line.split()[-1] for line in lines if f"/libbnn{library.SUFFIX}" in line}) == 1


def test_operators_and_c_abi_share_one_implementation() -> None:
    plan, tensors = make_network()
    active = library.active()
    library.select("generic")
    try:
        part = prepare_parts(plan, tensors)[0]
        assert library.describe_part(part).implementation == "generic"
        x = torch.from_numpy(make_images(plan))
        assert torch.ops.bnn.run_part(x, part_tensor(part), list(plan[0].output)).shape[0] == 2
    finally:
        library.select(active)


# ---- opcheck ----


def test_opcheck_pack(rng: np.random.Generator) -> None:
    flip = words_tensor(random_words(rng, 2))
    for shape in ((64,), (3, 64), (2, 3, 3, 64)):
        torch.library.opcheck(
            torch.ops.bnn.pack, (torch.randn(shape), torch.randn(64), flip), test_utils=OPCHECKS
        )


@pytest.mark.parametrize("padding", [-1, 0, 1])
def test_opcheck_conv3x3(rng: np.random.Generator, padding: int) -> None:
    x, weight = random_words(rng, 2, 4, 3, 2), random_words(rng, 64, 3, 3, 2)
    arguments = (words_tensor(x), words_tensor(weight), padding)
    torch.library.opcheck(torch.ops.bnn.conv3x3, arguments, test_utils=OPCHECKS)


def test_opcheck_run_part() -> None:
    plan, tensors = make_network()
    x = torch.from_numpy(make_images(plan))
    for step, part in zip(plan, prepare_parts(plan, tensors), strict=True):
        arguments = (x, part_tensor(part), list(step.output))
        torch.library.opcheck(torch.ops.bnn.run_part, arguments, test_utils=OPCHECKS)
        x = torch.ops.bnn.run_part(*arguments)


def test_opcheck_run_network() -> None:
    plan, tensors = make_network()
    parts = [part_tensor(part) for part in prepare_parts(plan, tensors)]
    arguments = (torch.from_numpy(make_images(plan)), parts, list(plan.output))
    torch.library.opcheck(torch.ops.bnn.run_network, arguments, test_utils=OPCHECKS)


# ---- errors ----

X, THRESHOLD, FLIP = torch.zeros(2, 64), torch.zeros(64), torch.zeros(2, dtype=torch.int32)
WORDS = torch.zeros(1, 4, 4, 2, dtype=torch.int32)
WEIGHT = torch.zeros(64, 3, 3, 2, dtype=torch.int32)

WRONG_CALLS: list[tuple[str, tuple[Any, ...], str]] = [
    ("pack", (X.double(), THRESHOLD, FLIP), "x: expected dtype Float, found Double"),
    ("pack", (X, THRESHOLD, FLIP.long()), "flip: expected dtype Int, found Long"),
    (
        "pack",
        (X, THRESHOLD[None], FLIP),
        r"threshold: expected 1 dimensions, found shape \[1, 64\]",
    ),
    ("pack", (X[:, :32], THRESHOLD[:32], FLIP), r"expected a contiguous tensor"),
    ("pack", (X, THRESHOLD, FLIP[:1]), r"found \[2, 64\], \[64\], \[1\]"),
    ("pack", (torch.zeros(()), THRESHOLD, FLIP), r"found \[\], \[64\], \[2\]"),
    ("pack", (torch.zeros(2, 40), torch.zeros(40), FLIP[:1]), "C a multiple of 32"),
    ("conv3x3", (WORDS.float(), WEIGHT, -1), "x: expected dtype Int, found Float"),
    ("conv3x3", (WORDS[0], WEIGHT, -1), "x: expected 4 dimensions"),
    ("conv3x3", (WORDS, WEIGHT[:, :2].contiguous(), -1), r"expected weight \[O, 3, 3, 2\]"),
    ("conv3x3", (WORDS, WEIGHT[..., :1].contiguous(), -1), r"found \[64, 3, 3, 1\]"),
    ("conv3x3", (WORDS, WEIGHT, 2), "expected padding -1, 0 or 1, found 2"),
    ("conv3x3", (WORDS, WEIGHT, 2**32 - 1), "expected padding -1, 0 or 1"),
]


@pytest.mark.parametrize(("name", "arguments", "text"), WRONG_CALLS)
def test_wrong_call_says_expected_and_found(
    name: str, arguments: tuple[Any, ...], text: str
) -> None:
    with pytest.raises(RuntimeError, match=text):
        getattr(torch.ops.bnn, name)(*arguments)


def test_run_part_refuses_what_the_part_does_not_fit(
    stem: tuple[Tensor, Tensor, list[int]],
) -> None:
    x, part, output = stem
    run = torch.ops.bnn.run_part
    with pytest.raises(RuntimeError, match="expected a prepared part, found an empty one"):
        run(x, part[:0], output)
    with pytest.raises(RuntimeError, match="these bytes are no part"):
        run(x, torch.zeros_like(part), output)
    with pytest.raises(RuntimeError, match="expected a part aligned to 64 bytes"):
        run(x, torch.cat((part[:1], part))[1:], output)
    with pytest.raises(RuntimeError, match=r"the part has \d+ bytes, found"):
        run(x, part[:-1], output)
    with pytest.raises(RuntimeError, match=r"this stem maps \[3, 16, 16\] to \[64, 8, 8\]"):
        run(x[:, :, 1:].contiguous(), part, output)
    with pytest.raises(RuntimeError, match=r"and output \[64, 8, 9\]"):
        run(x, part, [64, 8, 9])
    with pytest.raises(RuntimeError, match=r"and output \[64\]"):
        run(x, part, [64])
    with pytest.raises(RuntimeError, match="x: expected a contiguous tensor"):
        run(x.permute(0, 1, 3, 2), part, output)
    with pytest.raises(RuntimeError, match="part: expected dtype Byte, found Int"):
        run(x, part.int(), output)


def test_message_holds_no_path_of_the_source(stem: tuple[Tensor, Tensor, list[int]]) -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.ops.bnn.run_part(stem[0].double(), stem[1], stem[2])
    assert str(caught.value) == "bnn::run_part: x: expected dtype Float, found Double"


def test_other_layouts_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="Could not run 'bnn::pack'"):
        torch.ops.bnn.pack(X.to_sparse(), THRESHOLD, FLIP)


# ---- shape rules ----


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        (
            "pack",
            (X.double(), THRESHOLD, FLIP),
            "expected dtype torch.float32, found torch.float64",
        ),
        ("pack", (X, THRESHOLD, FLIP[:1]), r"found \[2, 64\], \[64\], \[1\]"),
        ("conv3x3", (WORDS, WEIGHT[..., :1], -1), r"expected weight \[O, 3, 3, 2\]"),
        ("conv3x3", (WORDS[0], WEIGHT, -1), r"expected 4 dimensions, found \[4, 4, 2\]"),
        ("conv3x3", (WORDS, WEIGHT, 2), "expected padding -1, 0 or 1, found 2"),
        ("run_part", (X, FLIP.byte(), [1]), "x: expected 4 dimensions"),
        ("run_part", (WORDS.float(), FLIP, [1]), "part: expected dtype torch.uint8"),
        ("run_part", (WORDS.float(), FLIP.byte(), [1, 2]), r"found \[1, 2\]"),
    ],
)
def test_shape_rule_says_expected_and_found(
    name: str, arguments: tuple[Any, ...], text: str
) -> None:
    on_meta = [a.to("meta") if isinstance(a, Tensor) else a for a in arguments]
    with pytest.raises(RuntimeError, match=text):
        getattr(torch.ops.bnn, name)(*on_meta)


# ---- loading ----


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Files that library.find_file finds from now on; every other is missing."""
    files: dict[str, Path] = {}

    def find_file(name: str) -> Path:
        if name not in files:
            raise NativeUnavailable(f"expected {name}, found it in none of: here; there.")
        return files[name]

    monkeypatch.setattr(library, "find_file", find_file)
    return files


def load_again() -> None:
    ops.load_operators.__wrapped__()


def test_missing_operators_name_every_place(places: dict[str, Path]) -> None:
    with pytest.raises(TorchUnavailable, match=r"libbnn_torch.* none of: here; there\.$") as caught:
        load_again()
    assert caught.value.installed  # torch is, and no build said that it left the operators out


def test_missing_operators_quote_why_the_build_left_them_out(
    places: dict[str, Path], tmp_path: Path
) -> None:
    places[ops.ABSENCE_RECORD] = tmp_path / "record"
    places[ops.ABSENCE_RECORD].write_text("built with BNN_TORCH=OFF\n")
    with pytest.raises(
        TorchUnavailable, match=r"there\. The build left .*: built with BNN_TORCH=OFF"
    ) as caught:
        load_again()
    assert not caught.value.installed


def test_operators_that_do_not_load_name_the_file(places: dict[str, Path], tmp_path: Path) -> None:
    places[ops.OPERATORS] = tmp_path / "libbroken.so"
    places[ops.OPERATORS].write_bytes(b"no library")
    with pytest.raises(TorchUnavailable, match=re.escape(str(places[ops.OPERATORS]))):
        load_again()


def test_without_torch_the_engine_says_what_to_install(repository: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from runtime.errors import TorchUnavailable\n"
        "try:\n    import runtime.engines.torchscript_engine\n"
        "except TorchUnavailable as error:\n    print(error, error.installed)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True
    )
    assert answer.stdout.startswith("expected the package torch >= 2.10, found ")
    assert "Install it: make WITH_TORCH=yes setup False" in answer.stdout


def test_run_network_refuses_what_does_not_fit() -> None:
    plan, tensors = make_network()
    parts = [part_tensor(part) for part in prepare_parts(plan, tensors)]
    x, output = torch.from_numpy(make_images(plan)), list(plan.output)
    run = torch.ops.bnn.run_network
    for arguments, text in (
        ((x, [], output), "expected prepared parts, found none"),
        ((x, [parts[0], torch.empty(0, dtype=torch.uint8)], output), "found an empty one"),
        ((x, parts, [3]), r"this network maps .* and output \[3\]"),
        ((x[:, :2].contiguous(), parts, output), "this network maps"),
        ((x, [parts[0], parts[-1]], output), "expected the output .* of the part before as input"),
    ):
        with pytest.raises(RuntimeError, match=text):
            run(*arguments)
