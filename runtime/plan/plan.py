"""Plan: the steps of a network in execution order; each takes the output of the previous one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

from runtime.errors import REEXPORT, InvalidManifest
from runtime.plan.fields import Fields, Shape, invalid
from runtime.plan.step import TensorTypes
from runtime.plan.steps import KINDS, Step


@dataclass(frozen=True)
class Plan(Sequence[Step]):
    """Stem, stage, transition, stage, ..., head, or neighbouring steps of them.

    Empty for a network that only an ONNX graph describes. Raises InvalidManifest for steps of the
    same name, and for those that do not follow each other.
    """

    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        names: set[str] = set()
        previous: Step | None = None
        for step in self.steps:
            _check_next(step, previous, names)
            previous = step

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> Plan: ...
    def __getitem__(self, index: int | slice) -> Step | Plan:
        return Plan(self.steps[index]) if isinstance(index, slice) else self.steps[index]

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def input(self) -> Shape:
        """[channels, height, width] of the first step's input."""
        return self.steps[0].input

    @property
    def output(self) -> Shape:
        """The shape of the last step's output, [classes] after a head."""
        return self.steps[-1].output

    def tensors(self) -> TensorTypes:
        """Name -> (dtype, shape) of every tensor that the steps need."""
        return {name: kind for step in self.steps for name, kind in step.tensors().items()}

    def as_json(self) -> list[dict[str, Any]]:
        """The JSON from which parse_plan makes an equal plan."""
        return [step.as_json() for step in self.steps]


def parse_plan(content: object) -> Plan:
    """The plan that a list of JSON objects describes. Raises InvalidManifest for anything else."""
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise invalid("", f"expected a list of objects, found {content!r:.80}")
    steps: list[Step] = []
    names: set[str] = set()
    for number, item in enumerate(content):
        step, output = _parse_step(item, f"step {number}")
        _check_next(step, steps[-1] if steps else None, names)
        if step.output != output:
            raise invalid(
                "",
                f"{step.name} says {list(step.input)} -> {list(output)}, but its fields make it "
                f"{list(step.input)} -> {list(step.output)}",
            )
        steps.append(step)
    return Plan(tuple(steps))


def check_network(plan: Plan, image: Shape, classes: int) -> None:
    """Checks that a plan leads from an image of that shape to one logit for each class.

    Raises InvalidManifest.
    """
    if plan.input != tuple(image) or plan.output != (classes,):
        raise invalid(
            "",
            f"expected one from {list(image)} to {[classes]} as input and labels say, found one "
            f"from {list(plan.input)} to {list(plan.output)}",
        )


def _parse_step(item: dict[str, Any], where: str) -> tuple[Step, Shape]:
    """A step, and its output as the JSON says it."""
    fields = Fields(item, where)
    name, part = fields.text("name"), fields.text("part")
    if part not in KINDS:
        raise invalid(name, f"expected a `part` of {', '.join(KINDS)}, found {part!r:.80}")
    kind = KINDS[part]
    fields = Fields(item, name)
    fields.refuse_others(("name", "part", "input", "output", *kind.keys), kind.optional)
    taken, output = fields.shape("input", 3), fields.shape("output", kind.dimensions)
    return kind.parse(name, taken, output, fields), output


def _check_next(step: Step, previous: Step | None, names: set[str]) -> None:
    """Checks that a step fits the previous one; its name is added to `names`."""
    if step.name in names:
        raise InvalidManifest(
            f"plan: expected different names, found {step.name} twice. {REEXPORT}"
        )
    names.add(step.name)
    if previous is not None and step.input != previous.output:
        raise invalid(
            "",
            f"{step.name} expects {list(step.input)}, but the step before yields "
            f"{list(previous.output)}",
        )
