"""Models networks on Raspberry Pis, without one: python -m runtime.bench.arm.

Runs one inference of MeliusNet-C, 42 and 59 in our engine, and of MobileNet-v1 0.5, 0.75 and 1.0 in
LiteRT, on an emulated Raspberry Pi 4 and 5; counts how often each block of code ran, and multiplies
with the cycles that LLVM's model of the core gives the block. Emulation proves instructions.
Modelled cycles are ratios, never times: no cache misses, no frequency. Logits are compared with
this machine's before anything is counted.

The exit status is 0 if everything was counted, 1 if something was not, 2 if nothing could be done.
Needs Linux, programs that it names where they are missing, and `make bench-peers` for LiteRT.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.bench.arm.boards import BOARDS
from runtime.bench.arm.compare import compare_networks
from runtime.bench.arm.machine import make_machine
from runtime.bench.arm.tables import make_tables
from runtime.bench.arm.tools import find_tools
from runtime.bench.exports import Exports
from runtime.bench.interpreters import find_interpreters
from runtime.bench.markdown import split_at_marks, write_block
from runtime.bench.peer_networks import PAIRS
from runtime.errors import RuntimeFault
from runtime.measurement.machine import show_progress

BLOCK = "bench arm"  # the name of the marks


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.bench.arm",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--exports",
        type=Path,
        metavar="DIR",
        help="folder of the networks with random weights, ARITHMETIC/NAME (`make bench-arm`)",
    )
    parser.add_argument(
        "--board", action="append", choices=BOARDS, help="may be repeated (default: all)"
    )
    parser.add_argument(
        "--network",
        action="append",
        choices=dict(PAIRS),
        help="one of ours, with its peer; may be repeated (default: all)",
    )
    parser.add_argument(
        "--layer-groups",
        action="store_true",
        help="ours also by stem, stages, transitions and head",
    )
    parser.add_argument("--no-peers", action="store_true", help="ours alone, while kernels change")
    parser.add_argument(
        "--peer-python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="interpreter that writes LiteRT's files (litert=...)",
    )
    parser.add_argument("--json", type=Path, metavar="F", help="write the figures here too")
    parser.add_argument(
        "--markdown", type=Path, metavar="F.md", help="tables, in a new file or between its marks"
    )
    parser.add_argument(
        "--block", default=BLOCK, metavar="NAME", help=f"of the marks (default: {BLOCK})"
    )
    parser.add_argument(
        "--from-json", type=Path, metavar="F", help="emulate nothing: write these figures"
    )
    args = parser.parse_args(arguments)
    try:
        args.interpreters = find_interpreters(args.peer_python)
    except ValueError as error:
        parser.error(str(error))
    for option in ("json", "markdown"):
        path = getattr(args, option)
        if path and not path.parent.is_dir():
            parser.error(f"--{option}: expected a folder to write to, found no {path.parent}")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    args = parse_arguments(arguments)
    try:
        if args.markdown:
            split_at_marks(args.markdown, args.block)  # before anything is emulated
        figures = _read(args.from_json) if args.from_json else _measure(args)
        if args.json:
            args.json.write_text(json.dumps(figures, indent=1) + "\n")
        tables = make_tables(figures)
        if args.markdown:
            write_block(tables, args.markdown, args.block)
    except RuntimeFault as error:
        print(f"runtime.bench.arm: {error}", file=sys.stderr)
        return 2
    print(tables)
    for name, why in figures["not_measured"].items():
        print(f"runtime.bench.arm: not measured: {name}: {why}", file=sys.stderr)
    return 1 if figures["not_measured"] else 0


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    tools = find_tools()
    show_progress("making the emulated machine (the first time a minute)")
    machine = make_machine(tools)
    with tempfile.TemporaryDirectory(prefix="bnn-bench-") as name:
        folder = Path(name)
        return compare_networks(
            machine,
            Exports(args.exports),
            folder,
            args.interpreters,
            pairs=[pair for pair in PAIRS if not args.network or pair[0] in args.network],
            boards=args.board or list(BOARDS),
            with_parts=args.layer_groups,
            with_peers=not args.no_peers,
            progress=show_progress,
        )


def _read(path: Path) -> dict[str, Any]:
    """Figures that --json wrote. Raises RuntimeFault."""
    try:
        figures = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RuntimeFault(f"expected figures that --json wrote in {path}: {error}") from error
    if not isinstance(figures, dict) or not {"boards", "rows"} <= figures.keys():
        raise RuntimeFault(f"expected figures that --json wrote, found others in {path}")
    return figures


if __name__ == "__main__":
    raise SystemExit(main())
