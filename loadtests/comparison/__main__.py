"""Compares MeliusNet and MobileNet-v1 in the same service: python -m loadtests.comparison.

Each case has bundles that are served at the same time, each by a service of its own, all on the
same CPUs, and loaded in turns, A B B A, with the same images. The headline is CPU time an image,
which stays the same where latencies do not. `make compare` prepares the bundles and calls this.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtests.command_line.options import (
    choose_cpus,
    describe_options,
    make_parser,
    parse_count,
    parse_environment,
    parse_positive,
    parse_result,
    run_tool,
)
from loadtests.command_line.progress import Progress
from loadtests.comparison.material import describe_material, make_material
from loadtests.comparison.page import split_at_marks, write_between_marks, write_page
from loadtests.comparison.plots import draw_case
from loadtests.comparison.run import CaseRun
from loadtests.comparison.sides import Case, choose_engine, make_case
from loadtests.comparison.summary import summarize
from loadtests.comparison.tables import add_case
from loadtests.errors import WrongUsage
from loadtests.output.machine import read_load
from loadtests.output.report import Report
from loadtests.servers.baseline import measure_no_model
from loadtests.servers.contestants import EVEN
from loadtests.servers.server import ROOT

TITLE = "MeliusNet and MobileNet-v1 in the same service"
_DEFAULT = ("The repository's bundles", "service/bundles/default", "service/bundles/mobilenet_v1")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _build_parser().parse_args(arguments)
    _, client_cpus = choose_cpus(options)
    return run_tool(lambda: _run(options), client_cpus)


async def _run(options: argparse.Namespace) -> int:
    progress = Progress()
    report = Report(TITLE, describe_options(options))
    cases = _choose_cases(options)
    environment = parse_environment(options.env)
    progress.note("making the images")
    material = make_material(options, with_phone=any(case.whole for case in cases))
    no_model = await _measure_no_model(cases, environment, options)
    runs = []
    for case in cases:
        run = CaseRun(case, options, environment, material, progress)
        await run.run()
        runs.append(run)
    report.paragraphs.append(describe_material(options, material))
    for run in runs:
        add_case(report, run, options, no_model)
    progress.clear()
    plots = {case["plot"]: draw_case(case) for case in report.data["cases"]}
    if options.markdown:
        for name, svg in plots.items():
            options.markdown.with_name(name).write_text(svg)
    status = report.write(options.json, options.markdown)
    if options.html:
        write_page(TITLE, report.format_markdown(read_load()), plots, options.html)
    if options.readme and not report.unfit:
        write_between_marks(options.readme, summarize(report, runs))
    return status


async def _measure_no_model(
    cases: Sequence[Case], environment: Mapping[str, str], options: argparse.Namespace
) -> dict[str, float]:
    """By engine: RSS, bytes, of the service before it loads a model."""
    engines = {choose_engine(bundle) for case in cases for bundle in case.bundles}
    return {
        engine: await measure_no_model(
            *(sys.executable, ROOT, engine, {**EVEN, **environment}, options.server_cpus)
        )
        for engine in sorted(engines)
    }


def _choose_cases(options: argparse.Namespace) -> list[Case]:
    cases = [make_case(words, whole=True) for words in options.case]
    cases += [make_case(words, whole=False) for words in options.brief_case]
    if options.readme:
        split_at_marks(options.readme)  # before all is measured
    if options.service:
        raise WrongUsage("expected no --service: both sides are the service of this source tree")
    if not cases:
        title, *folders = _DEFAULT
        cases = [make_case([title, *(str(ROOT / folder) for folder in folders)], whole=True)]
    if len({case.title for case in cases}) < len(cases):
        raise WrongUsage("expected a title of its own for each case, found one twice")
    return cases


def _build_parser() -> argparse.ArgumentParser:
    parser = make_parser("comparison", __doc__ or "")
    parser.add_argument(
        "--case",
        action="append",
        nargs="+",
        default=[],
        metavar="TITLE BUNDLE",
        help="a title and two bundles or more, ours first; may be repeated (default: the two "
        "bundles of the repository)",
    )
    parser.add_argument(
        "--brief-case",
        action="append",
        nargs="+",
        default=[],
        metavar="TITLE BUNDLE",
        help="the same, but only CPU time, throughput and memory",
    )
    parser.add_argument(
        "--photos", type=Path, metavar="DIR", help="send these photos instead of generated ones"
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="measure accuracy on DIR/test/LABEL/*.jpg (default: the manifests' records)",
    )
    parser.add_argument(
        "--clients", type=parse_count, default=8, help="number of clients of a closed loop (8)"
    )
    parser.add_argument(
        "--repeats", type=parse_count, default=5, metavar="N", help="number of turns (5)"
    )
    parser.add_argument(
        "--seconds", type=parse_positive, default=12.0, metavar="S", help="seconds of a turn (12)"
    )
    parser.add_argument(
        "--warm-up",
        type=parse_positive,
        default=1.0,
        metavar="S",
        help="seconds of warm-up before each turn (1)",
    )
    parser.add_argument(
        "--slo-ms", type=parse_positive, default=100.0, help="target for 99 %% of requests (100)"
    )
    parser.add_argument(
        "--slo-steps", type=parse_count, default=3, metavar="N", help="number of rates to try (3)"
    )
    parser.add_argument(
        "--step-seconds",
        type=parse_positive,
        default=60.0,
        metavar="S",
        help="seconds for each rate (60)",
    )
    parser.add_argument(
        "--phone-seconds",
        type=parse_positive,
        default=2.0,
        metavar="S",
        help="seconds of a turn with 12-megapixel photos (2)",
    )
    parser.add_argument(
        "--starts", type=parse_count, default=3, metavar="N", help="number of starts to measure (3)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of images and times")
    group = parser.add_argument_group("more results")
    group.add_argument(
        "--html", type=parse_result, metavar="FILE", help="write the report with plots here"
    )
    group.add_argument(
        "--readme", type=Path, metavar="FILE", help="write the table between the marks of this file"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
