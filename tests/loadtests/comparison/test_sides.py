"""What is compared: cases of the command line, and what a service says of its model."""

from pathlib import Path
from typing import Any

import pytest

from loadtests.comparison.sides import (
    NATIVE,
    ONNX,
    choose_engine,
    describe_side,
    make_case,
    read_facts,
)
from loadtests.errors import ServerFault, WrongUsage
from loadtests.servers.processes import format_bytes

DEFAULT, BASELINE = (Path("service/bundles", name) for name in ("default", "mobilenet_v1"))
INFO: dict[str, Any] = {
    "model": {
        "name": "meliusnet13",
        "input": {"shape": [3, 160, 160]},
        "trained": True,
        "training": {"accuracy": {"split": "test", "top1": 86.02, "images": 4084}},
        "quantization": None,
        "labels": ["bird", "cat"],
    },
    "engine": {"name": "native", "implementation": "avx2", "model_bytes": 966512},
}


def change(**fields: Any) -> dict[str, Any]:
    return {**INFO, "model": {**INFO["model"], **fields}}


def test_a_case_has_a_title_and_bundles() -> None:
    case = make_case(["both", str(DEFAULT), str(BASELINE)], whole=True)
    assert (case.title, case.whole) == ("both", True)
    assert case.bundles == [DEFAULT.resolve(), BASELINE.resolve()]


@pytest.mark.parametrize("words", [["both", str(DEFAULT)], ["both", str(DEFAULT), "tests"]])
def test_a_case_that_compares_nothing(words: list[str]) -> None:
    with pytest.raises(WrongUsage, match="case 'both': expected"):
        make_case(words, whole=True)


def test_each_network_runs_in_its_engine() -> None:
    assert (choose_engine(DEFAULT), choose_engine(BASELINE)) == (NATIVE, ONNX)
    environment = describe_side(BASELINE, {"BNN_THREADS": "1"}).environment
    assert environment["BNN_ENGINE"] == ONNX
    assert environment["BNN_BUNDLE"] == str(BASELINE)
    assert environment["BNN_THREADS"] == "1"


def test_bundle_and_engine_are_not_overruled() -> None:
    environment = describe_side(DEFAULT, {"BNN_ENGINE": "onnx", "BNN_BUNDLE": "x"}).environment
    assert (environment["BNN_ENGINE"], environment["BNN_BUNDLE"]) == (NATIVE, str(DEFAULT))


def test_facts_of_a_trained_model() -> None:
    facts = read_facts(INFO, "default")
    assert facts.title == "meliusnet13, 160x160"
    assert facts.engine == "native/avx2"
    assert facts.model_bytes == 966512
    assert facts.record == "86.0 % of 4084 images of its own test split"


def test_facts_that_must_not_be_overlooked() -> None:
    untrained = read_facts(
        change(trained=False, training=None, quantization={"float_parts": 1}), "x"
    )
    assert untrained.title == "meliusnet13, 160x160, 8-bit layers, untrained"
    assert untrained.record == "none: random weights"
    assert read_facts(change(training={"data": "x"}), "x").record == "not measured"


def test_ranges_of_noise_are_no_accuracy() -> None:
    noise = {"calibration": {"source": "noise"}}
    facts = read_facts(change(quantization=noise), "x")
    assert (facts.is_rough, facts.record) == (True, "not measured: ranges of noise")
    assert not read_facts(change(quantization={"calibration": {"source": "photos"}}), "x").is_rough


@pytest.mark.parametrize(
    "info", [None, [], {}, {**INFO, "engine": {}}, change(input={"shape": []})]
)
def test_another_service_is_a_fault(info: Any) -> None:
    with pytest.raises(ServerFault, match="expected /info with model and engine"):
        read_facts(info, "x")


def test_mebibytes() -> None:
    assert format_bytes(90 * 2**20) == "90.0"
