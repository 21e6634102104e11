"""service.access.access: hosts, callers and rates are checked, by the keys of a real file."""

from pathlib import Path
from typing import Any

import pytest

from service.access.access import Access
from service.access.key_file import make_key
from service.messages.problems import Problem
from service.settings.settings import InvalidSettings, Settings


def make_scope(*headers: tuple[str, str], client: Any = ("192.0.2.1", 5)) -> dict[str, Any]:
    """An ASGI request."""
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    return {"type": "http", "http_version": "1.1", "headers": pairs, "client": client}


def check_host(access: Access, *headers: tuple[str, str]) -> str:
    """ "ok" or the code of the problem."""
    scope = make_scope(*headers)
    try:
        access.check_host(scope, dict(scope["headers"]))
    except Problem as problem:
        return problem.code
    return "ok"


def test_hosts_are_checked_each_time_and_remembered_if_allowed() -> None:
    access = Access(Settings(), "127.0.0.1")
    for _ in range(2):
        assert check_host(access, ("host", "localhost:8000")) == "ok"
        assert check_host(access, ("host", "evil.example")) == "unknown_host"
        assert check_host(access) == "bad_request"
        twice = [("host", "localhost:8000")] * 2
        assert check_host(access, *twice) == "bad_request", "though it is remembered"
        mixed = [("host", "evil.example"), ("host", "localhost:8000")]
        assert check_host(access, *mixed) == "bad_request"


def test_the_table_of_hosts_does_not_grow_for_ever() -> None:
    access = Access(Settings(), "127.0.0.1")
    for port in range(1, 1000):
        assert check_host(access, ("host", f"localhost:{port}")) == "ok"
    assert len(access._known_hosts) <= 256


def test_without_keys_callers_are_addresses() -> None:
    access = Access(Settings(), "127.0.0.1")
    assert access.is_open
    assert access.find_caller(make_scope()) == "192.0.2.1"
    assert access.find_caller(make_scope(client=None)) == ""
    access.take("192.0.2.1", 1000)  # addresses have no rate


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, str, str]:
    """A file with two keys, the second with a rate; and the two."""
    path = tmp_path / "keys.toml"
    free, of_free = make_key("free")
    paced, of_paced = make_key("paced", rate=0.001, burst=3)
    path.write_text(f"{of_free}\n{of_paced}\n")
    path.chmod(0o600)
    return path, free, paced


def test_with_keys_callers_are_keys(keys: tuple[Path, str, str]) -> None:
    path, free, paced = keys
    access = Access(Settings(api_keys_file=path), "127.0.0.1")
    assert not access.is_open
    callers = [
        access.find_caller(make_scope(("authorization", f"Bearer {key}"))) for key in (free, paced)
    ]
    assert len(set(callers)) == 2
    assert access.find_caller(make_scope(("x-api-key", free), client=None)) == callers[0]
    for headers in ([], [("authorization", "Bearer nonsense")]):
        with pytest.raises(Problem, match="unauthorized"):
            access.find_caller(make_scope(*headers))
    access.take(callers[0], 1000)
    access.take(callers[1], 1)
    access.take(callers[1], 2, before=1)
    with pytest.raises(Problem, match="rate_limited"):
        access.take(callers[1], 1)


def test_a_file_of_keys_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="absent"):
        Access(Settings(api_keys_file=tmp_path / "absent"), "127.0.0.1")


def test_tells_by_which_hosts_the_service_may_be_called() -> None:
    access = Access(Settings(allowed_hosts=["10.0.0.0/8"]), "0.0.0.0")
    assert access.allows_host("10.1.2.3")
    assert not access.allows_host("192.168.1.20")
