"""The options of the Locust files: defaults, what is refused, how long a test lasts."""

from argparse import ArgumentParser, Namespace

import pytest

from loadtests.errors import WrongUsage
from loadtests.users.options import (
    add_help_option,
    add_image_options,
    add_load_options,
    add_threshold_options,
    build_payloads,
    check_distributed,
    choose_seconds,
)
from loadtests.users.thresholds import Limits, choose_limits


def parse(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    add_help_option(parser)
    add_load_options(parser)
    add_image_options(parser)
    add_threshold_options(parser)
    return parser.parse_args(arguments)


def test_defaults() -> None:
    options = parse()
    assert (options.loop, options.shape, options.arrivals) == ("closed", "steady", "poisson")
    assert choose_limits(options) == Limits()
    assert len(build_payloads(options, "http://127.0.0.1:9")) == 9


def test_all_options_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse("--all-options")
    assert "--max-p99-ms" in capsys.readouterr().out


def test_thresholds() -> None:
    options = parse("--max-p99-ms", "250", "--max-failures", "0", "--max-refused", "0.0")
    assert choose_limits(options) == Limits(max_p99_ms=250, max_failures=0, max_refused=0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rate", "0"),
        ("--loop", "half"),
        ("--shape", "round"),
        ("--max-p99-ms", "-1"),
        ("--max-p99-ms", "nan"),
        ("--send", "json"),
        ("--ramp-factor", "1"),
        ("--ramp-factor", "0.5"),
    ],
)
def test_what_is_refused(arguments: tuple[str, str]) -> None:
    with pytest.raises(SystemExit):
        parse(*arguments)


@pytest.mark.parametrize(
    ("shape", "given", "seconds"), [("step", 7, 7), ("step", None, 60), ("soak", None, 600)]
)
def test_how_long(shape: str, given: int | None, seconds: float) -> None:
    assert choose_seconds(Namespace(shape=shape, run_time=given)) == seconds


def test_what_several_processes_cannot_do() -> None:
    check_distributed(Namespace(loop="closed", shape="step"), True)
    check_distributed(Namespace(loop="open", shape="ramp"), False)
    with pytest.raises(WrongUsage, match="expected one process for --loop open"):
        check_distributed(Namespace(loop="open", shape="step"), True)
    with pytest.raises(WrongUsage, match="expected one process for --shape ramp"):
        check_distributed(Namespace(loop="closed", shape="ramp"), True)


@pytest.mark.parametrize("name", ["--report-json", "--markdown", "--timings-json"])
def test_results_need_a_folder(name: str) -> None:
    with pytest.raises(WrongUsage, match=f"for {name}, found /nodir/x; make the folder"):
        build_payloads(parse(name, "/nodir/x"), "http://127.0.0.1:9")
