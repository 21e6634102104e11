"""service.access.keys: who is let in, at what rate, and how the file changes under a running
service.
"""

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from service.access.key_file import make_key
from service.access.keys import Caller, KeyRing
from service.messages.problems import Problem, encode_problem
from service.settings.settings import InvalidSettings
from tests.service.clocks import Clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def fill(path: Path, *names: str, **options: Any) -> list[str]:
    """Writes a private file with new keys; returns them."""
    made = [make_key(name, **options) for name in names]
    path.write_text("\n".join(lines for _, lines in made))
    path.chmod(0o600)
    return [key for key, _ in made]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def refuse(ring: KeyRing, headers: Any) -> str:
    """The detail of the refusal."""
    with pytest.raises(Problem) as caught:
        ring.identify(headers)
    assert caught.value.code == "unauthorized"
    return caught.value.detail


def test_without_a_file_everyone_is_let_in(clock: Clock) -> None:
    ring = KeyRing(None, clock)
    assert ring.is_open
    assert ring.identify({}) == ring.identify({"authorization": "Basic eA=="}) == Caller("")
    ring.take(Caller(""), 10**9)


def test_keys_are_known_by_their_names(path: Path, clock: Clock) -> None:
    first, second = fill(path, "first", "second")
    ring = KeyRing(path, clock)
    assert not ring.is_open
    assert ring.identify(bearer(first)) == Caller("first")
    assert ring.identify({"x-api-key": second}) == Caller("second")
    assert ring.identify(Headers({"X-API-Key": f" {second} ", "Accept": "*/*"})).name == "second"
    assert ring.identify({"authorization": f"bEARER   {first} "}).name == "first"
    # What a proxy in front asks for is no key of ours.
    assert ring.identify({"authorization": "Basic eA==", "x-api-key": first}).name == "first"
    ring.take(Caller("first"), 10**9)


def test_what_is_no_known_key_is_refused(path: Path, clock: Clock) -> None:
    (key,) = fill(path, "a")
    ring = KeyRing(path, clock)
    for headers, found in (
        ({}, "found none"),
        ({"authorization": ""}, "found another kind"),
        ({"authorization": key}, "found another kind"),
        ({"authorization": "Basic eA=="}, "found another kind"),
        ({"authorization": f"Bearer\t{key}"}, "found another kind"),
        ({"authorization": "Bearer"}, "found a text that is none"),
        ({"authorization": "Bearer "}, "found a text that is none"),
        ({"authorization": f"Bearer {key} {key}"}, "found a text that is none"),
        ({"authorization": f"Bearer {key}, Bearer {key}"}, "found a text that is none"),
        ({"x-api-key": ""}, "found a text that is none"),
        ({"x-api-key": "k\xe9y"}, "found a text that is none"),
        ({"x-api-key": key + "\n"}, "found a text that is none"),
        ({"x-api-key": "a" * 513}, "found a text that is none"),
        ({"x-api-key": key[:-1]}, "found another"),
        ({"x-api-key": key + "="}, "found another"),
        ({"x-api-key": key.upper()}, "found another"),
        ({"x-api-key": key, **bearer(key)}, "found several"),
        (Headers(raw=[(b"x-api-key", key.encode())] * 2), "found several"),
        (Headers(raw=[(b"authorization", f"Bearer {key}".encode())] * 2), "found several"),
    ):
        detail = refuse(ring, headers)
        assert found in detail
        assert key not in detail


@given(value=st.text(alphabet=st.characters(max_codepoint=255), max_size=40), name=st.booleans())
def test_no_header_is_an_unexpected_failure(
    value: str, name: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    fill(path, "a")
    refuse(KeyRing(path), {"x-api-key" if name else "authorization": value})
    refuse(KeyRing(path), {"authorization": f"Bearer {value}"})


def test_the_answers() -> None:
    problem = Problem("unauthorized", "")
    assert problem.definition.status == 401
    assert (b"www-authenticate", b"Bearer") in encode_problem(problem, "id")[1]


def test_every_known_key_is_compared_with_whatever_is_asked(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of an answer does not tell which key, or how much of it, was right."""
    keys = fill(path, "a", "b", "c")
    ring = KeyRing(path, clock)
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("service.access.keys.hmac.compare_digest", compare)
    assert ring.identify(bearer(keys[0])).name == "a"
    assert len(compared) == 3
    assert all(len(one) == len(other) == 32 for one, other in compared)


def test_a_rate_is_kept(path: Path, clock: Clock) -> None:
    fill(path, "a", "b", rate=0.5, burst=3)
    ring = KeyRing(path, clock)
    ring.take(Caller("a"), 3)
    with pytest.raises(Problem) as caught:
        ring.take(Caller("a"), 1)
    assert caught.value.code == "rate_limited"
    assert (b"retry-after", b"2") in encode_problem(caught.value, "id")[1]
    ring.take(Caller("b"), 1)  # another key, another bucket
    clock.now += 2
    ring.take(Caller("a"), 1)


@pytest.mark.parametrize("content", [None, "", "[keys", "[keys.a]"])
def test_a_file_that_is_none_ends_the_start(path: Path, content: str | None) -> None:
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidSettings, match=r"BNN_API_KEYS_FILE: .*keys.toml: ?"):
        KeyRing(path)


def test_a_file_that_others_can_read_is_a_warning(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (key,) = fill(path, "a")
    KeyRing(path, clock)
    assert caplog.text == ""
    path.chmod(0o644)
    ring = KeyRing(path, clock)
    clock.now += 60
    ring.identify(bearer(key))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "can be read by every user" in caplog.text


def test_a_changed_file_holds_from_the_next_look_on(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (old,) = fill(path, "a")
    ring = KeyRing(path, clock)
    (new,) = fill(path, "a")
    clock.now += 0.9
    assert ring.identify(bearer(old)).name == "a"  # not looked at yet
    clock.now += 0.2
    with caplog.at_level(logging.INFO, "service.access.keys"):
        refuse(ring, bearer(old))
    assert "read again" in caplog.text
    assert ring.identify(bearer(new)).name == "a"


def test_a_link_is_followed_anew_as_kubernetes_swaps_them(tmp_path: Path, clock: Clock) -> None:
    for version in ("..1", "..2"):
        (tmp_path / version).mkdir()
    (old,) = fill(tmp_path / "..1" / "keys.toml", "a")
    (new,) = fill(tmp_path / "..2" / "keys.toml", "b")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "keys.toml").symlink_to("..data/keys.toml")
    ring = KeyRing(tmp_path / "keys.toml", clock)
    assert ring.identify(bearer(old)).name == "a"
    (tmp_path / "..data_tmp").symlink_to("..2")
    os.rename(tmp_path / "..data_tmp", tmp_path / "..data")
    clock.now += 1
    assert ring.identify(bearer(new)).name == "b"
    refuse(ring, bearer(old))


def test_a_broken_file_leaves_the_keys_and_one_line(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (key,) = fill(path, "a")
    content = path.read_text()
    ring = KeyRing(path, clock)

    def ask_for_a_while() -> list[str]:
        caplog.clear()
        for _ in range(5):
            clock.now += 1
            assert ring.identify(bearer(key)).name == "a"
        return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]

    for broken in ("", f"[keys.a]\nsha256 = '{key}'", "[keys"):
        path.write_text(broken)
        assert ask_for_a_while() == ["API keys stay as they were"]
        assert vars(caplog.records[0])["reason"].startswith(f"{path}: ")
        assert key not in str([vars(record) for record in caplog.records])
    path.unlink()
    assert ask_for_a_while() == ["API keys stay as they were"]
    os.mkfifo(path)  # opening it would wait for a writer
    assert ask_for_a_while() == []
    path.unlink()
    path.write_text(content)
    assert ask_for_a_while() == []
    assert ring.identify(bearer(key)).name == "a"


def test_reading_again_gives_nobody_a_new_burst(path: Path, clock: Clock) -> None:
    fill(path, "a", rate=1, burst=10)
    ring = KeyRing(path, clock)
    ring.take(Caller("a"), 10)
    (key,) = fill(path, "a", rate=1, burst=20)
    clock.now += 1
    assert ring.identify(bearer(key)).name == "a"
    ring.take(Caller("a"), 1)
    with pytest.raises(Problem, match="rate_limited"):
        ring.take(Caller("a"), 1)
    (key,) = fill(path, "a")  # no rate any more
    clock.now += 1
    ring.identify(bearer(key))
    ring.take(Caller("a"), 1000)
