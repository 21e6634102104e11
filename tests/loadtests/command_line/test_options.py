"""The options that all tools share: services, environments, CPUs, and what wrong ones say."""

import argparse
import os
import resource
import sys
from pathlib import Path

import pytest

from loadtests.command_line.options import (
    WRONG_USAGE,
    choose_cpus,
    choose_service,
    choose_services,
    describe_options,
    make_parser,
    parse_count,
    parse_cpus,
    parse_environment,
    parse_positive,
    run_tool,
)
from loadtests.errors import ServerFault, WrongUsage


def parse(*arguments: str) -> argparse.Namespace:
    """Of a tool without options of its own."""
    return make_parser("test", "A tool.").parse_args(arguments)


def test_this_service_is_the_default(repository: Path) -> None:
    spec = choose_service(parse("--env", "BNN_ENGINE=onnx"), {"BNN_ENGINE": "native"})
    assert spec.folder == repository
    assert spec.environment["BNN_ENGINE"] == "onnx"


def test_services_have_names_of_their_own(repository: Path) -> None:
    two = [f"--service={name}={sys.executable}:{repository}" for name in "ab"]
    assert [spec.name for spec in choose_services(parse(*two))] == ["a", "b"]
    with pytest.raises(WrongUsage, match="several"):
        choose_service(parse(*two))
    with pytest.raises(WrongUsage, match="twice"):
        choose_services(parse(two[0], two[0]))


def test_environment_is_pairs() -> None:
    assert parse_environment(["A=1", "B=x=y", "C="]) == {"A": "1", "B": "x=y", "C": ""}
    with pytest.raises(WrongUsage, match="VARIABLE=VALUE"):
        parse_environment(["A"])


def test_server_and_generator_share_no_cpu_where_there_are_two() -> None:
    usable = sorted(os.sched_getaffinity(0))
    options = parse()
    server, client = choose_cpus(options)
    assert server == (usable[0],)
    assert set(client) == set(usable[1:] or usable)
    assert (options.server_cpus, options.client_cpus) == (server, client)
    chosen = choose_cpus(parse(f"--server-cpus={usable[-1]}", f"--client-cpus={usable[-1]}"))
    assert chosen == ((usable[-1],), (usable[-1],))


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [(parse_count, "3", 3), (parse_positive, "0.5", 0.5)],
)
def test_numbers(read: object, text: str, value: float) -> None:
    assert callable(read)
    assert read(text) == value


@pytest.mark.parametrize("read", [parse_count, parse_positive, parse_cpus])
@pytest.mark.parametrize("text", ["", "0.0", "-1", "x", "inf", "nan", "99999"])
def test_wrong_numbers(read: object, text: str) -> None:
    if text == "99999" and read is not parse_cpus:
        return
    assert callable(read)
    with pytest.raises(argparse.ArgumentTypeError, match="expected"):
        read(text)


def test_record_of_the_options_names_no_result_files() -> None:
    options = parse("--json", "out.json", "--env", "A=1")
    options.folders, options.server_cpus = [Path("a")], (0, 1)
    record = describe_options(options)
    assert "json" not in record
    assert (record["env"], record["folders"], record["server_cpus"]) == (["A=1"], ["a"], [0, 1])


@pytest.mark.parametrize("fault", [WrongUsage("no such thing"), ServerFault("it ended")])
def test_expected_faults_are_a_message(
    fault: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail() -> int:
        raise fault

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert run_tool(fail, ()) == WRONG_USAGE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert capsys.readouterr().err == f"error: {fault}\n"


def test_tool_has_all_descriptors_and_its_status_is_passed_on() -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def tell() -> int:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft == hard
        return 3

    try:
        assert run_tool(tell, sorted(os.sched_getaffinity(0))[:1]) == 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)


def test_results_can_be_written_when_all_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parse("--json", str(tmp_path / "new.json")).json == tmp_path / "new.json"
    for place in (tmp_path / "none" / "x.json", tmp_path):
        with pytest.raises(SystemExit):
            parse("--markdown", str(place))
        assert "expected a file in a folder that can be written to" in capsys.readouterr().err
