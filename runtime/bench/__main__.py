"""Measures kernels, layers, networks, engines and peers: python -m runtime.bench [--only SECTION].

kernels   rates of single kernels beside loops over registers, the limit of their instructions
layers    every binary layer of the network in each kernel family
networks  milliseconds of each layer group and of its phases, chosen kernels against popcount;
          batches and threads
engines   latency of every engine beside eager float PyTorch, and peak memory of each
end-to-end  a JPEG's bytes to a label: the first bundle beside Pillow and ONNX Runtime on a
          MobileNet-v1
peers     ONNX Runtime, OpenVINO, LiteRT, ncnn and MNN on MobileNet-v1, V3 and V4,
          larq-compute-engine on MeliusNet22, OpenVINO on binary layers; `make bench-peers` installs
          all but the first

Whatever is compared takes turns on the same CPUs; figures are medians, with the range of 80 % of
the runs. `make bench` exports what the sections need and hands it over: the bundles of --bundle,
and networks with random weights in the folder of --exports. --report writes a file for the project
with the speed of this board and nothing personal, of the bundles alone: with those that are
installed 15 CPU seconds on a server's core, so at most about five minutes on a Raspberry Pi 4.
--selftest compares all implementations that this CPU runs, bit for bit, and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from runtime.bench.contestants import BASELINE, CONTESTANTS, EAGER, run_alone
from runtime.bench.contribution import describe_heat, format_report, make_report, write_report
from runtime.bench.exports import Exports
from runtime.bench.interpreters import ENVIRONMENTS, find_interpreters
from runtime.bench.markdown import BLOCK, split_at_marks, write_markdown
from runtime.bench.plot import write_plot
from runtime.bench.report import SECTIONS, Report
from runtime.bench.selftest import run_selftest
from runtime.bundle import Bundle, read_bundle
from runtime.engines.engine import ENGINES
from runtime.errors import RuntimeFault
from runtime.measurement.machine import allowed_cpus, describe_machine, format_machine

REPORT_FILE = Path("bnn-bench-report.json")
REPORT_SECTIONS = ["kernels", "layers", "networks", "engines"]
WITH_EXPORTS = ["end-to-end", "peers"]  # sections that need networks with random weights
WITHOUT_BUNDLE = ["kernels", "peers"]  # sections that need no bundle


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        *("--bundle", "-b"),
        type=Path,
        action="extend",
        nargs="+",
        default=[],
        metavar="DIR",
        help="directories of bundles; layers are measured of the last one that has binary layers",
    )
    parser.add_argument(
        "--exports",
        type=Path,
        metavar="DIR",
        help="folder of networks with random weights, ARITHMETIC/NAME, that peers compare with",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="SECTION",
        help=f"{', '.join(SECTIONS)}; several with commas or by repeating it (default: all; "
        f"without --exports all but {' and '.join(WITH_EXPORTS)})",
    )
    parser.add_argument(
        "--engine",
        action="append",
        choices=CONTESTANTS,
        help=f"may be repeated (default: {', '.join(ENGINES)}, and {EAGER} float PyTorch)",
    )
    parser.add_argument("--threads", type=int, default=1, help="of engines and peers")
    parser.add_argument("--batch", type=int, default=1, help="images per call")
    parser.add_argument("--runs", type=int, default=30, help="timed runs of each contestant")
    parser.add_argument(
        "--cpus",
        default="",
        metavar="LIST",
        help="CPUs to use, as 2,3 (default: the last ones allowed)",
    )
    parser.add_argument(
        "--peer-python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help=f"interpreter of a peer: {', '.join(ENVIRONMENTS)}",
    )
    parser.add_argument(
        "--mobilenet",
        type=Path,
        metavar="DIR",
        help="bundle of Google's mobilenet_v1_0.25_128_quant.tflite, the network of the peer end "
        "to end (default: random weights)",
    )
    parser.add_argument("--no-memory", action="store_true", help="start no processes for memory")
    parser.add_argument("--json", type=Path, metavar="F", help="write the figures here too")
    parser.add_argument("--plot", type=Path, metavar="F.svg", help="draw the figures")
    parser.add_argument(
        "--markdown", type=Path, metavar="F.md", help="tables, in a new file or between its marks"
    )
    parser.add_argument(
        "--block", default=BLOCK, metavar="NAME", help=f"of the marks (default: {BLOCK})"
    )
    parser.add_argument(
        "--from-json", type=Path, metavar="F", help="measure nothing: draw and write these figures"
    )
    parser.add_argument(
        "--report",
        type=Path,
        nargs="?",
        const=REPORT_FILE,
        metavar="F.json",
        help=f"measure the bundles, write a file for the project (default: {REPORT_FILE})",
    )
    parser.add_argument("--selftest", action="store_true", help="compare implementations only")
    parser.add_argument("--alone", choices=(BASELINE, *CONTESTANTS), help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    for name in ("threads", "batch", "runs"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    try:
        args.sections = _choose_sections(args)
        args.cpus = [int(cpu) for cpu in filter(None, args.cpus.split(","))]
        args.interpreters = find_interpreters(args.peer_python)
    except ValueError as error:
        parser.error(str(error))
    for option in ("mobilenet", "exports"):
        folder = getattr(args, option)
        if folder and not folder.is_dir():
            parser.error(f"--{option}: expected a folder, found no {folder}")
    if args.plot and args.plot.suffix != ".svg":
        parser.error(f"--plot: expected a name that ends in .svg, found {args.plot}")
    for option in ("json", "plot", "markdown", "report"):
        path = getattr(args, option)
        if path and not path.parent.is_dir():
            parser.error(f"--{option}: expected a folder to write to, found no {path.parent}")
    if args.cpus and not allowed_cpus():
        parser.error("--cpus: this system cannot keep a process on a CPU; leave it out")
    if not args.bundle and not args.from_json and set(args.sections) - set(WITHOUT_BUNDLE):
        parser.error("expected --bundle DIR to measure, found none; `make bench` names some")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 1 if the self-test fails, 2 if nothing could be done."""
    args = parse_arguments(arguments)
    try:
        if args.markdown:
            split_at_marks(args.markdown, args.block)  # before anything is measured
        if args.from_json:
            _write(_read(args.from_json), args)
            return 0
        with tempfile.TemporaryDirectory(prefix="bnn-bench-") as folder:
            args.folder = Path(folder)
            return _run([read_bundle(folder) for folder in args.bundle], args)
    except RuntimeFault as error:
        print(f"runtime.bench: {error}", file=sys.stderr)
        return 2


def _choose_sections(args: argparse.Namespace) -> list[str]:
    """Raises ValueError for an unknown one."""
    if not args.only:
        if args.report:
            return REPORT_SECTIONS
        return [name for name in SECTIONS if args.exports or name not in WITH_EXPORTS]
    sections = [name.strip() for names in args.only for name in names.split(",")]
    for name in sections:
        if name not in SECTIONS:
            raise ValueError(f"--only: expected {', '.join(SECTIONS)}, found {name!r}")
    return sections


def _run(bundles: Sequence[Bundle], args: argparse.Namespace) -> int:
    if args.alone:
        print(json.dumps(run_alone(bundles[0], args.alone, args.threads, args.batch)))
        return 0
    machine = describe_machine()
    print(format_machine(machine))
    if args.selftest:
        passed = [run_selftest(bundle) for bundle in bundles]
        return 0 if all(passed) else 1
    began, heat = monotonic(), describe_heat()
    report = Report(args, Exports(args.exports))
    report.run(bundles, args.sections)
    settings = {name: getattr(args, name) for name in ("threads", "batch", "runs", "cpus")}
    figures = {"machine": machine, "settings": settings, **report.figures}
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    if args.report:
        contribution = make_report(figures, heat, monotonic() - began)
        write_report(contribution, args.report)
        print(f"\n{format_report(contribution, args.report)}")
    _write(figures, args)
    return 0


def _write(figures: dict[str, Any], args: argparse.Namespace) -> None:
    if args.plot:
        write_plot(figures, args.plot)
    if args.markdown:
        write_markdown(figures, args.markdown, args.block)


def _read(path: Path) -> dict[str, Any]:
    """Figures that --json wrote. Raises RuntimeFault."""
    try:
        figures = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RuntimeFault(f"--from-json: expected a file that --json wrote: {error}") from error
    if not isinstance(figures, dict) or not {"machine", "settings"} <= figures.keys():
        raise RuntimeFault(f"--from-json: expected a file that --json wrote, found {path}")
    return figures


if __name__ == "__main__":
    sys.exit(main())
