"""Compares every implementation that this CPU runs with generic, each layer group, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from runtime.bundle import Bundle
from runtime.engines.prepare import prepare_bundle
from runtime.kernels import library
from runtime.measurement.inputs import make_images


def compare_implementations(bundle: Bundle, batch: int = 2) -> list[dict[str, Any]]:
    """Every implementation that this CPU runs against generic, each layer group, bit for bit.

    One entry per implementation and layer group: "implementation", "part", "values", "different"
    (how many of them) and "worst" (the largest difference). The active
    implementation stays the same.
    """
    before = library.active()
    names = [item.name for item in library.implementations() if item.supported]
    outcome: list[dict[str, Any]] = []
    try:
        library.select("generic")
        inputs, outputs = [make_images(bundle, batch)], []
        for part in prepare_bundle(bundle):
            outputs.append(library.run_part(part, inputs[-1]))
            inputs.append(outputs[-1])
        for name in names:
            library.select(name)
            parts = prepare_bundle(bundle)
            for step, part, x, expected in zip(
                bundle.manifest.plan, parts, inputs[:-1], outputs, strict=True
            ):
                found = library.run_part(part, x)
                different = found.view(np.uint32) != expected.view(np.uint32)
                outcome.append(
                    {
                        "implementation": name,
                        "part": step.name,
                        "values": found.size,
                        "different": int(different.sum()),
                        "worst": float(np.abs(found - expected).max()),
                    }
                )
    finally:
        library.select(before)
    return outcome


def run_selftest(bundle: Bundle) -> bool:
    """Prints each implementation's comparison with generic; true if all are identical."""
    print(f"{bundle.manifest.name}: self-test, input {list(bundle.manifest.input)}")
    outcome = compare_implementations(bundle)
    failed = False
    for name in dict.fromkeys(item["implementation"] for item in outcome):
        items = [item for item in outcome if item["implementation"] == name]
        wrong = [item for item in items if item["different"]]
        failed = failed or bool(wrong)
        values = sum(item["values"] for item in items)
        verdict = "identical to generic" if not wrong else "DIFFERENT from generic"
        print(f"  {name:<10}{len(items)} layer groups, {values:,} values: {verdict}")
        for item in wrong:
            print(
                f"    {item['part']}: {item['different']} of {item['values']} values differ, "
                f"the worst by {item['worst']:g}"
            )
    return not failed
