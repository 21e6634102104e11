"""Measures engines: python -m runtime.bench [--bundle DIR | --network NAME [--size S]].

Prints latency of every engine beside eager float PyTorch of the same network (runtime.reference),
milliseconds per part, and the peak memory of each in a process of its own; --json writes the same.
Without a bundle or network: the default model, then meliusnet22 at 224 pixels. --network exports
random weights with models.export in a child process: good for time and memory, never for answers.
--selftest compares all implementations that this CPU runs, bit for bit, and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from runtime.bench_measure import (
    BASELINE,
    CONTESTANTS,
    EAGER,
    compare_implementations,
    describe_machine,
    environment_of_children,
    load_contestants,
    make_images,
    measure_latency,
    measure_memory,
    measure_parts,
    run_alone,
)
from runtime.bundle import Bundle, read_bundle
from runtime.engine import ENGINES
from runtime.errors import RuntimeFault

DEFAULT_BUNDLE = Path(__file__).resolve().parent.parent / "service" / "bundles" / "default"
DEFAULT_NETWORK, DEFAULT_SIZE = "meliusnet22", 224
MIB = 2**20


def show_progress(text: str) -> None:
    """One line on a terminal that each call overwrites; nothing where nobody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def export_network(name: str, size: int, folder: Path) -> Bundle:
    """Random weights for a network of models/, by models.export in a child process.

    Raises RuntimeFault with what it said.
    """
    show_progress(f"exporting {name} at {size} pixels")
    out = folder / name
    command = [sys.executable, "-m", "models.export", name, "--image-size", str(size)]
    command += ["--parity-inputs", "1", "--out", str(out)]
    answer = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment_of_children()
    )
    if answer.returncode:
        raise RuntimeFault(
            f"expected python -m models.export to write {name}, but it ended with "
            f"{answer.returncode}: {answer.stderr.strip()[-500:]}"
        )
    return read_bundle(out)


def measure_bundle(bundle: Bundle, args: argparse.Namespace) -> dict[str, Any]:
    """Everything about one bundle, as written to JSON."""
    contestants, missing = load_contestants(bundle, args.engine or CONTESTANTS, args.threads)
    images = make_images(bundle, args.batch)
    latencies = measure_latency(contestants, images, args.runs, show_progress)
    logits = {contestant.name: contestant.predict(images) for contestant in contestants}
    rows: list[dict[str, Any]] = []
    for contestant in contestants:
        row: dict[str, Any] = {
            "name": contestant.name,
            "implementation": contestant.implementation,
            **latencies[contestant.name],
            "model_bytes": contestant.model_bytes,
            "workspace_bytes": contestant.workspace_bytes,
        }
        if EAGER in latencies:
            row["times_as_fast_as_eager"] = (
                latencies[EAGER]["median_ms"] / latencies[contestant.name]["median_ms"]
            )
            difference = np.abs(logits[contestant.name] - logits[EAGER]).max()
            row["max_abs_logit_difference"] = float(difference)
        rows.append(row)
    result = {
        "network": bundle.manifest.name,
        "trained": bundle.manifest.trained,
        "input": list(bundle.manifest.input),
        "engines": rows,
        "not_measured": missing,
        "parts": [],
        "baseline_memory_bytes": None,
    }
    if {"torchscript", "native"} & latencies.keys():
        eager = EAGER in latencies
        result["parts"] = measure_parts(bundle, args.batch, args.runs, eager, show_progress)
    if not args.no_memory:
        for row in rows:
            show_progress(f"memory: {row['name']}")
            row["peak_memory_bytes"] = measure_memory(bundle, row["name"], args.threads, args.batch)
        result["baseline_memory_bytes"] = measure_memory(bundle, BASELINE, 1, 1)
    show_progress("")
    return result


def format_result(result: dict[str, Any], threads: int, batch: int) -> str:
    """The tables of one bundle."""
    shape = "x".join(map(str, result["input"]))
    state = "" if result["trained"] else ", untrained (random weights)"
    lines = [
        f"{result['network']}{state}: input {shape}, batch {batch}, threads {threads}",
        f"  {'engine':<20}{'median':>10}{'p10':>9}{'p90':>9}{'fastest':>9}  ms"
        f"{'x eager':>10}{'peak MiB':>10}{'model MiB':>11}{'logit diff.':>13}",
    ]
    for row in result["engines"]:
        name = f"{row['name']}/{row['implementation']}"
        ratio = row.get("times_as_fast_as_eager")
        difference = row.get("max_abs_logit_difference")
        peak = row.get("peak_memory_bytes")
        lines.append(
            f"  {name:<20}{row['median_ms']:>10.2f}{row['p10_ms']:>9.2f}{row['p90_ms']:>9.2f}"
            f"{row['fastest_ms']:>9.2f}    "
            f"{_cell(ratio, '.2f'):>10}{_cell(peak and peak / MIB, '.1f'):>10}"
            f"{_cell(row['model_bytes'] / MIB or None, '.2f'):>11}{_cell(difference, '.1e'):>13}"
        )
    for name, reason in result["not_measured"].items():
        lines.append(f"  {name} not measured: {reason}")
    if result["baseline_memory_bytes"]:
        lines.append(
            "  peak memory: each in a fresh process; Python, NumPy and the bundle alone take "
            f"{result['baseline_memory_bytes'] / MIB:.1f} MiB"
        )
    for row in result["engines"]:
        if row["name"] != EAGER and "times_as_fast_as_eager" in row:
            lines.append(
                f"  {row['name']}/{row['implementation']} is "
                f"{row['times_as_fast_as_eager']:.1f}x as fast as eager float PyTorch"
            )
    if result["parts"]:
        lines.append(f"  {'part':<20}{'kernel ms':>10}{'eager ms':>10}  kernels")
        for part in result["parts"]:
            lines.append(
                f"  {part['name']:<20}{part['native_ms']:>10.3f}"
                f"{_cell(part.get('eager_ms'), '.3f'):>10}  {', '.join(part['kernels'])}"
            )
    return "\n".join(lines)


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def format_machine(machine: dict[str, Any]) -> str:
    """The first line of a report."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    allowed = machine["cores_allowed"] or machine["cores"]
    return (
        f"{machine['cpu']} ({machine['system']}), {allowed} of {machine['cores']} cores, "
        f"Python {machine['python']}, {packages}"
    )


def run_selftest(bundle: Bundle) -> bool:
    """Prints each implementation's comparison with generic; true if all are identical."""
    outcome = compare_implementations(bundle)
    failed = False
    for name in dict.fromkeys(item["implementation"] for item in outcome):
        items = [item for item in outcome if item["implementation"] == name]
        wrong = [item for item in items if item["different"]]
        failed = failed or bool(wrong)
        values = sum(item["values"] for item in items)
        verdict = "identical to generic" if not wrong else "DIFFERENT from generic"
        print(f"  {name:<10}{len(items)} parts, {values:,} values: {verdict}")
        for item in wrong:
            print(
                f"    {item['part']}: {item['different']} of {item['values']} values differ, "
                f"the worst by {item['worst']:g}"
            )
    return not failed


@contextmanager
def open_bundles(args: argparse.Namespace) -> Iterator[list[Bundle]]:
    """What the command line asks for. Raises RuntimeFault."""
    with tempfile.TemporaryDirectory(prefix="bnn-bench-") as folder:
        if args.bundle:
            yield [read_bundle(args.bundle)]
        elif args.network:
            yield [export_network(args.network, args.size, Path(folder))]
        else:
            bundles = [read_bundle(DEFAULT_BUNDLE)]
            try:
                bundles.append(export_network(DEFAULT_NETWORK, args.size, Path(folder)))
            except RuntimeFault as error:
                print(f"{DEFAULT_NETWORK} is left out: {error}", file=sys.stderr)
            yield bundles


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--bundle", type=Path, help="directory of a bundle")
    what.add_argument("--network", metavar="NAME", help="a network of models/, random weights")
    parser.add_argument("--size", type=int, default=DEFAULT_SIZE, help="pixels, with --network")
    parser.add_argument(
        "--engine",
        action="append",
        choices=CONTESTANTS,
        help=f"may be repeated (default: {', '.join(ENGINES)}, and {EAGER} float PyTorch)",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1, help="images per call")
    parser.add_argument("--runs", type=int, default=30, help="timed runs of each engine")
    parser.add_argument("--no-memory", action="store_true", help="start no processes for memory")
    parser.add_argument("--json", type=Path, metavar="F", help="write the figures here too")
    parser.add_argument("--selftest", action="store_true", help="compare implementations only")
    parser.add_argument("--alone", choices=(BASELINE, *CONTESTANTS), help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    for name in ("threads", "batch", "runs", "size"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 1 if the self-test fails, 2 if nothing could be done."""
    args = parse_arguments(arguments)
    try:
        with open_bundles(args) as bundles:
            return _run(bundles, args)
    except RuntimeFault as error:
        print(f"runtime.bench: {error}", file=sys.stderr)
        return 2


def _run(bundles: Sequence[Bundle], args: argparse.Namespace) -> int:
    if args.alone:
        print(json.dumps(run_alone(bundles[0], args.alone, args.threads, args.batch)))
        return 0
    machine = describe_machine()
    print(format_machine(machine))
    if args.selftest:
        passed = True
        for bundle in bundles:
            print(f"{bundle.manifest.name}: self-test, input {list(bundle.manifest.input)}")
            passed = run_selftest(bundle) and passed
        return 0 if passed else 1
    results = []
    for bundle in bundles:
        results.append(measure_bundle(bundle, args))
        print(format_result(results[-1], args.threads, args.batch), flush=True)
    if args.json:
        settings = {"threads": args.threads, "batch": args.batch, "runs": args.runs}
        content = {"machine": machine, "settings": settings, "results": results}
        args.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
