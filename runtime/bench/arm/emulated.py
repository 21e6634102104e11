"""What runs on the emulated board: one network, with marks around an inference for the counter.

python -m runtime.bench.arm.emulated OPTIONS: a JSON object with `engine` (native or litert),
`model` (a bundle, or a .tflite file), `parts` (whether prefixes of the network follow) and `out`, a
folder. It gets answer.npy, maps (of the process) and facts.json: `version`, and `sections`, the
names of what ran between one mark and the next.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MARK = 0x7F420000  # block_counter.c: kMark
WHOLE = "whole network"
ENDS = "ends"  # what runs before the next mark is of no interest


def set_mark(number: int) -> None:
    """The system call that the counter knows: of a process number that no system gives."""
    try:
        os.getpgid(MARK + number)
    except ProcessLookupError:
        return
    raise AssertionError(f"expected no process {MARK + number}, found one")


class Sections:
    """Runs calls between marks and remembers their names; the first run of each is not counted."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def run(self, name: str, call: Callable[[], object]) -> None:
        call()
        set_mark(len(self.names))
        call()
        set_mark(len(self.names) + 1)
        self.names += [name, ENDS]


def find_units(kinds: Sequence[str]) -> list[slice]:
    """The steps of a plan that run together: a stage with the transition behind it."""
    units, begin = [], 0
    for end in range(1, len(kinds) + 1):
        if end == len(kinds) or (kinds[end - 1], kinds[end]) != ("stage", "transition"):
            units.append(slice(begin, end))
            begin = end
    return units


def run_native(model: str, with_parts: bool, sections: Sections) -> tuple[str, Any]:
    """Our engine on seeded noise: what it is called, and its logits."""
    from runtime.bundle import read_bundle
    from runtime.engines.engine import load_engine
    from runtime.measurement.inputs import make_images

    bundle = read_bundle(Path(model))
    engine, images = load_engine(bundle, "native", 1), make_images(bundle, 1)
    logits = engine.predict(images)
    sections.run(WHOLE, lambda: engine.predict(images))
    if with_parts:
        _run_prefixes(bundle, images, sections)
    return engine.implementation, logits


def _run_prefixes(bundle: Any, images: Any, sections: Sections) -> None:
    """The network up to the end of each unit: differences are what the units take."""
    from runtime.engines.prepare import prepare_bundle
    from runtime.kernels.network import Network

    parts, plan = prepare_bundle(bundle), bundle.manifest.plan
    for unit in find_units([step.part for step in plan]):
        network = Network(parts[: unit.stop])
        shape = plan[unit.stop - 1].output
        network.classes = int(np.prod(shape))  # of a map, too, which leaves as it lies in memory
        workspace = network.allocate_workspace(1)
        out = np.empty((1, network.classes), np.float32)
        name = ", ".join(step.name for step in plan[unit])
        sections.run(name, lambda n=network, w=workspace, y=out: n.run(images, w, y, 1))  # type: ignore[misc]


def run_litert(model: str, sections: Sections) -> tuple[str, Any]:
    """LiteRT on seeded noise: its version, and its logits."""
    from runtime.bench.peers.litert_peer import open_peer

    facts, calls = open_peer({"model": model, "threads": 1, "batch": 1})
    sections.run(WHOLE, calls["predict"])
    return facts["version"], facts["answer"]


def main(arguments: Sequence[str]) -> int:
    options = json.loads(arguments[0])
    out, sections = Path(options["out"]), Sections()
    gc.disable()  # or it would run in one section or another
    if options["engine"] == "native":
        version, answer = run_native(options["model"], options["parts"], sections)
    else:
        version, answer = run_litert(options["model"], sections)
    np.save(out / "answer.npy", np.asarray(answer, np.float32))
    (out / "maps").write_text(Path("/proc/self/maps").read_text())
    facts = {"version": version, "sections": sections.names[:-1]}
    (out / "facts.json").write_text(json.dumps(facts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
