"""Chooses the images of a bundle's self-test and computes the logits that they give.

A stored image should reach as much of the network as it can, so that every change there changes a
logit. Its logits should not depend on rounding, so that a correct engine that adds in another order
passes. Candidates are seeded noise of several scales. They are chosen one by one: the next one
activates most the channels that the chosen ones activate little. A candidate is passed over if its
logits move when its input is changed by as little as rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from runtime import (
    ENGINES,
    Bundle,
    Engine,
    EngineUnavailable,
    Manifest,
    WrongAnswer,
    load_engine,
    run_self_test,
)
from runtime.bundle import SELF_TEST, write_bundle
from runtime.engines.prepare import prepare_bundle
from runtime.engines.self_test import (
    ROUNDING,
    Images,
    StoredAnswers,
    find_bound,
    make_inputs,
    stored_by,
)
from runtime.errors import MissingFile
from runtime.kernels import library
from runtime.kernels.parts import Floats
from runtime.plan import HeadStep, TransitionStep

COUNT = 12  # images stored
SIDE = 16  # pixels of a stored image, which the network's input repeats
CANDIDATES = 128
SCALES = (2, 4, 8, SIDE)  # squares in a row of each kind of noise
NUDGE, NUDGES = (
    1e-6,
    3,
)  # relative change of the input (some ten units in the last place); number of changes
BATCH = 8
SEED = 42


def add_self_test(manifest: Manifest, files: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """The files of a bundle, and a self-test for them, which is written into `folder`.

    Parity must be in the manifest, if it was measured. Every engine that runs here passes the test.
    Raises WrongAnswer, and as make_stored_answers does.
    """
    others = {name: file for name, file in files.items() if name != SELF_TEST}
    tested = {**others, SELF_TEST: folder / SELF_TEST}
    untested = write_bundle(folder / "without-self-test", manifest, others)
    write_stored_answers(tested[SELF_TEST], make_stored_answers(untested))
    bundle = write_bundle(folder / "with-self-test", manifest, tested)
    for name in ENGINES:
        try:
            engine = load_engine(bundle, name)
        except WrongAnswer:
            raise
        except (EngineUnavailable, MissingFile):  # parity says why
            continue
        if (outcome := run_self_test(engine)).verdict == "failed":
            raise WrongAnswer(f"{name}/{engine.implementation}: {outcome.reason}")
    return tested


def make_stored_answers(bundle: Bundle) -> StoredAnswers:
    """Images and logits for a bundle without any, whose parity was measured.

    Raises BundleError, EngineUnavailable.
    """
    manifest = bundle.manifest
    engine = load_engine(bundle, stored_by(manifest))
    random = np.random.default_rng(SEED)
    images = make_candidates(manifest, random)
    logits = np.vstack([engine.predict(make_inputs(b, manifest)) for b in _batches(images)])
    order = _order_by_reach(np.hstack([_find_reach(bundle, images), logits - logits.min(axis=0)]))
    tolerance = ROUNDING * max(1.0, float(np.abs(logits).max()))
    chosen: list[int] = []
    reserve: list[tuple[bool, float, int]] = []  # unclear, spread, index: the best ones first
    spreads: dict[int, float] = {}
    while len(chosen) < COUNT and (index := order.take_next()) is not None:
        spreads[index] = _find_spread(engine, images[index : index + 1], logits[index], random)
        unclear = not _is_clear(manifest, images, logits, index)
        if unclear or spreads[index] > tolerance:
            reserve.append((unclear, spreads[index], index))
        else:
            chosen.append(index)
            order.accept(index)
    chosen += [index for *_, index in sorted(reserve)[: COUNT - len(chosen)]]
    return StoredAnswers(images[chosen], logits[chosen], max(spreads[index] for index in chosen))


def write_stored_answers(file: Path, stored: StoredAnswers) -> None:
    """Writes the self-test file of a bundle."""
    spread = np.array([stored.spread], np.float32)
    save_file({"images": stored.images, "logits": stored.logits, "spread": spread}, file)


def make_candidates(manifest: Manifest, random: np.random.Generator) -> Images:
    """Noise of several scales, strengths and colours: uint8 [CANDIDATES, 3, h, w]."""
    height, width = (min(SIDE, side) for side in manifest.input[1:])
    shape = (CANDIDATES, 3, height, width)
    strength = random.dirichlet(np.ones(len(SCALES)), CANDIDATES) * random.uniform(
        60, 260, (CANDIDATES, 1)
    )
    images = np.broadcast_to(random.uniform(40, 215, (CANDIDATES, 3, 1, 1)), shape).copy()
    for number, squares in enumerate(SCALES):
        noise = random.uniform(-1, 1, (CANDIDATES, 3, squares, squares))
        grey = random.uniform(0, 1, (CANDIDATES, 1, 1, 1))
        noise += grey * (noise.mean(axis=1, keepdims=True) - noise)
        rows, columns = (np.arange(side) * squares // side for side in (height, width))
        images += strength[:, number].reshape(-1, 1, 1, 1) * noise[:, :, rows][:, :, :, columns]
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


class _Reach:
    """Chooses the next candidate: the one that adds most to what the accepted ones reach."""

    def __init__(self, activity: NDArray[np.float64]) -> None:
        self._activity = activity
        self._reached = np.zeros(activity.shape[1])
        self._left = np.ones(len(activity), bool)

    def take_next(self) -> int | None:
        if not self._left.any():
            return None
        gain = np.maximum(self._activity - self._reached, 0).sum(axis=1)
        index = int(np.where(self._left, gain, -1).argmax())
        self._left[index] = False
        return index

    def accept(self, index: int) -> None:
        self._reached = np.maximum(self._reached, self._activity[index])


def _order_by_reach(activity: Floats) -> _Reach:
    """activity [candidates, features], from 0; each feature counts by its largest value."""
    largest = activity.max(axis=0, initial=0)
    return _Reach(activity / np.where(largest > 0, largest, 1))


def _find_reach(bundle: Bundle, images: Images) -> Floats:
    """How far each candidate drives each channel that a ReLU may cut off, in front of transitions
    and head: [candidates, channels]. Nothing for a network that only the ONNX graph describes.
    """
    plan = bundle.manifest.plan
    if not plan:
        return np.zeros((len(images), 0), np.float32)
    parts, tensors = prepare_bundle(bundle), bundle.tensors()
    rows = []
    for batch in _batches(images):
        x, reach = make_inputs(batch, bundle.manifest), []
        for step, part in zip(plan, parts, strict=True):
            if isinstance(step, TransitionStep | HeadStep):
                scale, shift = (
                    tensors[f"{step.name}.{name}"].reshape(-1, 1, 1) for name in ("scale", "shift")
                )
                reach.append(np.maximum(x * scale + shift, 0).mean(axis=(2, 3)))
            x = library.run_part(part, x)
        rows.append(np.hstack(reach))
    return np.vstack(rows)


def _is_clear(manifest: Manifest, images: Images, logits: Floats, index: int) -> bool:
    """Whether every engine within its bound has the same best label."""
    stored = StoredAnswers(images, logits, 0.0)
    bound = max(find_bound(manifest, name, stored) for name in ("native", "onnx"))
    best = np.sort(logits[index, : manifest.classes])[::-1]
    return len(best) < 2 or bool(best[0] - best[1] > 2 * bound)


def _find_spread(
    engine: Engine, image: Images, logits: Floats, random: np.random.Generator
) -> float:
    """How far logits move when each value of the input is changed in its last places."""
    x = make_inputs(image, engine.bundle.manifest)
    nudges = [np.float32(NUDGE) * random.choice([-1, 1], x.shape) for _ in range(NUDGES)]
    nudged = [(x * (1 + nudge)).astype(np.float32) for nudge in nudges]
    return float(max(np.abs(engine.predict(x) - logits).max() for x in nudged))


def _batches(images: Images) -> Sequence[Images]:
    return [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
