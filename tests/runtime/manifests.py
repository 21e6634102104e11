"""A small bundle whose manifest has a value for everything that the format has, and edits of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from runtime import (
    Bundle,
    HedgeFigures,
    Hierarchy,
    Known,
    KnownFigures,
    Level,
    LevelFigures,
    Manifest,
    Node,
    Preprocessing,
)
from runtime.bundle import WEIGHTS, write_bundle
from runtime.manifest import KNOWN_FORMAT, MANIFEST, NEWEST_FORMAT, find_digest
from runtime.plan import parse_plan

WINDOW = {"kernel": 3, "stride": 1, "padding": [1, 1]}
POOL = {"kernel": 2, "stride": 2, "padding": [0, 0]}
CONVOLUTION = {"channels_in": 3, "channels_out": 32, **WINDOW, "groups": 1, "relu": True}
TENSORS = {
    "stem.conv0.bias": np.arange(3, dtype=np.float32),
    "stage1.layer0.flip": np.array([1, 2**32 - 1], np.uint32),
    "stem.conv1.weight": np.array([-127, 0, 127], np.int8),
    "self_test.images": np.array([[0, 255]], np.uint8),
    "empty": np.zeros((0, 4), np.float32),
}


def make_plan() -> list[dict[str, Any]]:
    """One step of each kind, from 3 x 8 x 8 to two classes."""
    plan: list[dict[str, Any]] = [
        {"name": "stem", "part": "stem", "input": [3, 8, 8], "output": [32, 8, 8]}
        | {"convolutions": [dict(CONVOLUTION)], "pool": None},
        {"name": "stage1", "part": "stage", "input": [32, 8, 8], "output": [96, 8, 8]}
        | {"growth": 64, "padding": -1, "layers": ["dense", "improvement"]},
        {"name": "transition1", "part": "transition", "input": [96, 8, 8], "output": [64, 4, 4]}
        | {"pool": dict(POOL), "shuffle_groups": 4, "groups": 4},
        {"name": "head", "part": "head", "input": [64, 4, 4], "output": [2], "arithmetic": "int8"},
    ]
    return plan


def make_manifest() -> Manifest:
    """Read and written, it stays equal but for its files."""
    return Manifest(
        name="test",
        architecture={"blocks": [1]},
        input=(3, 8, 8),
        preprocessing=Preprocessing(9, 8, "bilinear", (1.0, 2.5, 3e-7), (4.0, 5.0, 6.0), 1.5),
        labels=("ant", "bée"),
        plan=parse_plan(make_plan()),
        files={},
        trained=True,
        training={"data": "none", "seed": 7},
        parity={"onnx": {"inputs": 1, "max_abs_logit_difference": 1.5e-06}},
        quantization={"float_parts": "int8", "layers": ["head"]},
        reduction={"images": 2, "lost": 0},
        created={"python": "3"},
        temperature=1.5,
        float_order=1,  # as in the golden manifests
    )


FIGURES = KnownFigures(0.97, None, 0.02, 40, 30, 0, "held out", "ab" * 32)


def make_known_manifest() -> Manifest:
    """One of format 4: the second logit of the plan is no label's."""
    known = Known("other", slope=1.25, offset=-0.5, threshold=0.4, measured=FIGURES)
    return replace(make_manifest(), labels=("ant",), known=known, format=KNOWN_FORMAT)


def make_hierarchy_manifest() -> Manifest:
    """One of format 5."""
    hierarchy = Hierarchy(
        nodes=(Node("insect", "an insect", ()),),
        parents=(("insect",), ("insect",)),
        levels=(Level(0.5, 0.25), Level(0.95, None)),
        images=40,
        notice="Names by hand.\nThey are free.",
        measured=HedgeFigures(
            levels=(
                LevelFigures(0.5, 0.75, 0.75, 0.0, 0.5, 0.25),
                LevelFigures(0.95, 1.0, 0.0, 1.0, 1.0, 0.0),
            ),
            images=30,
            data="held out",
            sha256="ab" * 32,
        ),
    )
    return replace(make_manifest(), hierarchy=hierarchy, format=NEWEST_FORMAT)


def write_example(folder: Path, manifest: Manifest | None = None) -> Bundle:
    """The bundle `folder`/bundle, with a weight file of TENSORS."""
    save_file(TENSORS, folder / "weights")
    files = {WEIGHTS: folder / "weights"}
    return write_bundle(folder / "bundle", manifest or make_manifest(), files)


def edit(bundle: Bundle, change: Callable[[dict[str, Any]], Any], seal: bool = True) -> None:
    """Changes the manifest on disk; `seal`: with the digest that it then should have."""
    path = bundle.path / MANIFEST
    content = json.loads(path.read_text())
    change(content)
    if seal and "digest" in content:
        with suppress(ValueError):  # NaN, or no Unicode: it has none, and is refused all the same
            content["digest"] = find_digest(content)
    path.write_text(json.dumps(content))


def as_format_2(content: dict[str, Any]) -> None:
    """Makes a manifest one of format 2."""
    content["format"] = 2
    del content["preprocessing"]["reduce"]
    content.pop("reduction", None)


def as_format_1(content: dict[str, Any]) -> None:
    """Makes a manifest one of format 1."""
    as_format_2(content)
    content["format"] = 1
    del content["digest"], content["float_order"]
