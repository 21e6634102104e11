"""Writes models/RESULTS.md from the records of training runs: python -m models.report [RUNS].

Beside it ROBUSTNESS.md, from answers of models.attack in RUNS/attacks, if there are any.

RUNS has a folder per run with its record.json and confusion.csv; NOTES.md, which is copied into the
report; references/ with answers of models.evaluate, hedged/ with those of models.hedge,
held-out/ with those of models.known; pair.toml, which names two networks of about equal bytes; and
latencies.json, which --measure writes again on this machine. The errors of the default model are
those of the run that its bundle was made from. Without --measure the report is made from these
files alone, so that it can be made again anywhere, bit for bit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.command_line.main import make_parser, run_command
from models.report.document import find_source, make_report, read_notes, write_charts
from models.report.equal_bytes import read_pair
from models.report.hedged import read_hedged
from models.report.latency import measure_latencies, read_latencies, write_latencies
from models.report.references import read_references
from models.report.robustness import (
    ATTACKS,
    make_robustness,
    read_attacks,
    write_robustness_chart,
)
from models.report.runs import read_runs

RUNS = Path(__file__).parents[1] / "runs"
RESULTS = Path(__file__).parents[1] / "RESULTS.md"
LATENCIES = "latencies.json"
REFERENCES = "references"
HEDGED = "hedged"
ROBUSTNESS = "ROBUSTNESS.md"  # beside --out


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.report", __doc__)
    parser.add_argument("runs", type=Path, nargs="?", default=RUNS, help="default: models/runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default: models/RESULTS.md")
    parser.add_argument(
        "--bundle", type=Path, help="the default model (default: service/bundles/default)"
    )
    parser.add_argument("--measure", action="store_true", help="measure the latencies again")
    return run_command(parser, arguments, _report)


def _report(args: argparse.Namespace) -> None:
    runs = read_runs(args.runs)
    default = find_source(runs, args.bundle)
    pair = read_pair(args.runs, runs)
    path = args.runs / LATENCIES
    if args.measure:
        served = [member.bundle for member in pair]
        write_latencies(measure_latencies([run.record for run in runs], bundles=served), path)
    latencies = read_latencies(path)
    write_charts(runs, latencies, args.runs)
    references = read_references(args.runs / REFERENCES)
    hedged = read_hedged(args.runs / HEDGED)
    text = make_report(runs, latencies, read_notes(args.runs), references, default, hedged, pair)
    args.out.write_text(text, encoding="utf-8")
    attacked = read_attacks(args.runs / ATTACKS)
    if attacked:
        write_robustness_chart(attacked, args.runs)
        text = make_robustness(attacked, args.runs / ATTACKS)
        args.out.with_name(ROBUSTNESS).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
