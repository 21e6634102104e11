"""loadtests.errors: whatever is raised of it, a tool tells it in one line."""

import inspect
import resource
from collections.abc import Iterator

import pytest

from loadtests import errors
from loadtests.command_line.options import WRONG_USAGE, run_tool

FAULTS = [each for _, each in inspect.getmembers(errors, inspect.isclass)]


@pytest.fixture
def descriptors() -> Iterator[None]:
    """A tool raises its limit, which belongs to this process."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_tool_tells_it_in_one_line(
    fault: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail() -> int:
        raise fault("expected this, found that")

    assert run_tool(fail, ()) == WRONG_USAGE
    assert capsys.readouterr().err == "error: expected this, found that\n"


def test_the_command_line_and_the_server_have_one_each() -> None:
    assert [errors.ServerFault, errors.WrongUsage] == FAULTS
