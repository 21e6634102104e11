"""Flips single bits of a bundle's weights and counts which ones its self-test notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError
from models.export.parity import parity_inputs
from runtime import Bundle
from runtime.engines.prepare import prepare_bundle, prepare_parts
from runtime.engines.self_test import make_inputs, read_stored_answers
from runtime.errors import InvalidRecord
from runtime.kernels.network import Network
from runtime.kernels.parts import Floats, Part
from runtime.plan import Plan

FLIPS = 32
OTHERS = 64  # other images
SEED = 7


@dataclass(frozen=True)
class Flip:
    """One flipped bit: its tensor, the kind of bit, and whether the self-test noticed it."""

    tensor: str
    kind: str
    noticed: bool
    idle: bool  # not noticed, and it changes no logit of other images


class Flipper:
    """A network in which one bit at a time is flipped."""

    def __init__(self, bundle: Bundle, images: Floats, others: Floats) -> None:
        self._plan = bundle.manifest.plan
        self._tensors = {name: np.array(t) for name, t in bundle.tensors().items()}
        self._parts = prepare_bundle(bundle)
        self._sets = images, others
        self._expected = [self._run(self._parts, x) for x in self._sets]

    def flip(self, name: str, random: np.random.Generator) -> Flip:
        """Flips one random bit of a tensor, and back."""
        tensor = self._tensors[name]
        words = tensor.reshape(-1).view(f"u{tensor.itemsize}")
        index, bit = int(random.integers(words.size)), int(random.integers(8 * tensor.itemsize))
        mask = words.dtype.type(1 << bit)
        words[index] ^= mask
        try:
            noticed, idle = self._is_noticed(name)
        finally:
            words[index] ^= mask
        return Flip(name, find_kind(name, tensor, bit), noticed, idle)

    def names(self) -> list[str]:
        """The tensors in the order of the plan."""
        steps = [step.name for step in self._plan]
        return sorted(self._tensors, key=lambda name: steps.index(name.partition(".")[0]))

    def _is_noticed(self, name: str) -> tuple[bool, bool]:
        number, step = next(
            (i, step) for i, step in enumerate(self._plan) if name.startswith(f"{step.name}.")
        )
        own = {n: t for n, t in self._tensors.items() if n.startswith(f"{step.name}.")}
        try:
            (part,) = prepare_parts(Plan((step,)), own)
        except InvalidRecord:
            return True, False
        parts = [*self._parts[:number], part, *self._parts[number + 1 :]]
        if self._differs(parts, 0):
            return True, False
        return False, not self._differs(parts, 1)

    def _differs(self, parts: Sequence[Part], which: int) -> bool:
        found = self._run(parts, self._sets[which])
        return found.tobytes() != self._expected[which].tobytes()

    def _run(self, parts: Sequence[Part], images: Floats) -> Floats:
        network = Network(parts)
        logits = np.empty((len(images), *self._plan.output), np.float32)
        network.run(images, network.allocate_workspace(1), logits, 1)
        return logits


def find_kind(name: str, tensor: NDArray[Any], bit: int) -> str:
    """What the bit belongs to: a row of the table."""
    step, _, rest = name.partition(".")
    if rest.endswith(".threshold"):
        return "thresholds, " + ("lower 12 bits" if bit < 12 else "upper 20 bits")
    if tensor.dtype == np.uint32:
        return f"{step}, binary weights" if rest.endswith("weight") else f"{step}, directions"
    if tensor.dtype == np.int8:
        return f"{step}, 8-bit weights"
    return f"{step}, floats, " + ("lower 12 bits" if bit < 12 else "upper 20 bits")


def measure_flips(bundle: Bundle, count: int = FLIPS, seed: int = SEED) -> list[Flip]:
    """`count` flips of each tensor. Raises BundleError; DataError for a bundle without images or
    without a plan.
    """
    stored = read_stored_answers(bundle)
    if stored is None or not bundle.manifest.plan:
        raise DataError(
            f"{bundle.path}: expected a bundle with stored images and packed weights; found none. "
            "Give one that models.export or models.upgrade made from a network with binary layers."
        )
    others = parity_inputs(bundle.manifest.input, OTHERS)
    flipper = Flipper(bundle, make_inputs(stored.images, bundle.manifest), others)
    random = np.random.default_rng(seed)
    return [flipper.flip(name, random) for name in flipper.names() for _ in range(count)]


def summarize(flips: Sequence[Flip]) -> dict[str, dict[str, int]]:
    """Kind -> {"flips", "noticed", "idle"}, and all binary weights together."""
    table: dict[str, dict[str, int]] = {}
    for flip in flips:
        row = table.setdefault(flip.kind, {"flips": 0, "noticed": 0, "idle": 0})
        row["flips"] += 1
        row["noticed"] += flip.noticed
        row["idle"] += flip.idle
    return table


def format_table(table: Mapping[str, Mapping[str, int]]) -> str:
    """Markdown."""
    lines = ["| bits of | flipped | noticed | idle |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {kind} | {row['flips']} | {row['noticed']} ({row['noticed'] / row['flips']:.0%}) | "
        f"{row['idle']} |"
        for kind, row in table.items()
    ]
    return "\n".join(lines)
