"""service.settings.settings: defaults, precedence, error texts, and that README documents every
one.
"""

import os
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

import service
from runtime import ENGINES
from service.settings import settings as module
from service.settings.settings import (
    KERNEL_SETTINGS,
    OTHER_VARIABLES,
    InvalidSettings,
    Settings,
    describe_settings,
    name_variable,
    read_configuration,
    read_settings,
)

README = (Path(service.__file__).parent / "README.md").read_text()
VARIABLES = [*map(name_variable, Settings.model_fields), *OTHER_VARIABLES]
# Named in the README for what they are not: settings.
EXPLAINED = {"BNN_BODY_TIMEOUT_MS"}


@pytest.fixture
def file(tmp_path: Path) -> Any:
    """Writes a settings file."""

    def write(text: str) -> Path:
        path = tmp_path / "settings.toml"
        path.write_text(text)
        return path

    return write


def test_defaults() -> None:
    settings = read_settings()
    assert (settings.host, settings.port, settings.engine) == ("127.0.0.1", 8000, "auto")
    assert settings.bundle.parts[-3:] == ("service", "bundles", "default")
    assert settings.bundle.is_absolute()
    assert 1 <= settings.threads <= 4
    assert 1 <= settings.workers == settings.decode_threads
    assert (settings.api_keys_file, settings.allowed_hosts, settings.cors_origins) == (None, (), ())
    limits = settings.image_limits
    assert (limits.max_bytes, limits.max_pixels, limits.max_scans) == (32 * 2**20, 25_000_000, 20)


def test_engines_are_those_of_the_runtime() -> None:
    field = Settings.model_fields["engine"]
    assert get_args(field.annotation) == ("auto", *ENGINES)
    assert f"the first of {', '.join(ENGINES)} that" in str(field.description)


def test_images_are_decoded_by_as_many_threads_as_there_are_workers() -> None:
    assert read_settings(workers=3).decode_threads == 3
    assert read_settings(workers=3, decode_threads=1).decode_threads == 1


@pytest.mark.parametrize(
    ("limit", "machine", "budget"),
    [(2**28, 2**33, 2**28), (None, 2**33, 2**32), (2**40, 2**33, 2**32), (2**28, None, 2**28)],
)
def test_the_memory_budget_is_the_limit_or_half_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, machine: int | None, budget: int
) -> None:
    monkeypatch.setattr(module, "read_memory_limit", lambda: limit)
    monkeypatch.setattr(module, "read_machine_memory", lambda: machine)
    assert read_settings().memory_budget == budget
    assert read_settings(memory_budget="64MiB").memory_budget == 2**26


def test_a_memory_that_nobody_knows_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read_memory_limit", lambda: None)
    monkeypatch.setattr(module, "read_machine_memory", lambda: None)
    with pytest.raises(InvalidSettings, match="BNN_MEMORY_BUDGET: expected a number of bytes"):
        read_settings()


def test_the_command_line_beats_the_environment_beats_the_file_beats_the_default(
    monkeypatch: pytest.MonkeyPatch, file: Any
) -> None:
    path = file('port = 1\nthreads = 1\nmax_scans = 1\nengine = ""\nbundle = "b"')
    monkeypatch.setenv("BNN_PORT", "2")
    monkeypatch.setenv("BNN_THREADS", "2")
    monkeypatch.setenv("BNN_BUNDLE", "")  # nothing: the file's stays
    found = read_configuration(path, port=3)
    settings, origins = found.settings, found.origins
    assert (settings.port, settings.threads, settings.max_scans) == (3, 2, 1)
    assert (settings.engine, settings.bundle) == ("auto", Path("b"))
    assert [str(origins[name]) for name in ("port", "threads", "max_scans", "engine")] == [
        "option --port",
        "variable BNN_THREADS",
        f"file {path}",
        "default",
    ]
    assert origins.keys() == Settings.model_fields.keys()


def test_the_file_is_named_by_a_variable_or_before_it_by_the_command_line(
    monkeypatch: pytest.MonkeyPatch, file: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("BNN_CONFIG", str(tmp_path / "absent"))
    with pytest.raises(InvalidSettings, match="absent: expected a TOML file; found none"):
        read_settings()
    assert read_settings(file("port = 7")).port == 7
    monkeypatch.setenv("BNN_CONFIG", str(tmp_path / "settings.toml"))
    assert read_settings().port == 7
    monkeypatch.setenv("BNN_CONFIG", "")
    assert read_settings().port == 8000


def test_lists_and_sizes_are_written_as_people_do(
    monkeypatch: pytest.MonkeyPatch, file: Any
) -> None:
    path = file('cors_origins = ["https://a.example", "http://b.example:81"]\nbody_min_rate = 0')
    monkeypatch.setenv("BNN_ALLOWED_HOSTS", "A.example., *.b.example,")
    monkeypatch.setenv("BNN_MAX_BODY_BYTES", "1MiB")
    settings = read_settings(path)
    assert settings.cors_origins == ("https://a.example", "http://b.example:81")
    assert settings.allowed_hosts == ("a.example", "*.b.example")
    assert (settings.max_body_bytes, settings.body_min_rate) == (2**20, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BNN_PORT", "70000"),
        ("BNN_PORT", "http"),
        ("BNN_ENGINE", "tensorflow"),
        ("BNN_THREADS", "0"),
        ("BNN_WORKERS", "257"),
        ("BNN_DECODE_THREADS", "many"),
        ("BNN_QUEUE_IMAGES", "0"),
        ("BNN_MAX_BATCH_IMAGES", "-1"),
        ("BNN_MEMORY_BUDGET", "1,000"),
        ("BNN_DEADLINE_MS", "600001"),
        ("BNN_MAX_BODY_BYTES", "2GiB"),
        ("BNN_MAX_PIXELS", "1000000000"),
        ("BNN_MAX_CONNECTIONS", "7"),
        ("BNN_HEADER_TIMEOUT_MS", "0"),
        ("BNN_IDLE_TIMEOUT_MS", "0"),
        ("BNN_BODY_IDLE_TIMEOUT_MS", "0"),
        ("BNN_BODY_MIN_RATE", "-1"),
        ("BNN_DRAIN_DELAY_MS", "-1"),
        ("BNN_GRACE_MS", "1.5"),
        ("BNN_HANG_MS", "never"),
        ("BNN_ALLOWED_HOSTS", "https://example.org"),
        ("BNN_ALLOWED_HOSTS", ","),
        ("BNN_CORS_ORIGINS", "example.org"),
        ("BNN_LOG_LEVEL", "loud"),
        ("BNN_LOG_FORMAT", "xml"),
        ("BNN_HOST", os.fsdecode(b"\xff")),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, file: Any, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        read_settings()
    (line,) = str(caught.value).splitlines()
    assert re.fullmatch(rf"{name}: input should .*; found {re.escape(repr(value))}", line)
    if value.isascii():
        monkeypatch.delenv(name)
        key = name.removeprefix("BNN_").lower()
        path = file(f'{key} = "{value}"')
        with pytest.raises(InvalidSettings) as caught:
            read_settings(path)
        assert str(caught.value) == line.replace(name, f"{path}: {key}", 1)


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch, file: Any) -> None:
    monkeypatch.setenv("BNN_PORT", "http")
    path = file("workers = 0\nmax_scans = 0")
    with pytest.raises(InvalidSettings) as caught:
        read_settings(path, engine="fast")
    places = [line.split(": input")[0] for line in str(caught.value).splitlines()]
    assert places == ["BNN_PORT", "--engine", f"{path}: workers", f"{path}: max_scans"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("prot = 1", "'prot': there is no such setting; did you mean port?"),
        ("BNN_MAX_SCANS = 1", "'BNN_MAX_SCANS': there is no such setting; did you mean max_scans?"),
        ("max-pixels = 1", "did you mean max_pixels?"),
        ("[service]\nport = 1", "'service': there is no such setting"),
        ("zzz = 1", "'zzz': there is no such setting; --help lists them"),
        ("threads = true", "threads: expected another type; found true"),
        ("body_timeout_ms = 1", "body_timeout_ms: there is no such setting; it is replaced"),
        ("port = ", "expected TOML; found"),
        ("port = 1\nport = 2", "expected TOML; found"),
    ],
)
def test_what_a_file_may_not_have(file: Any, text: str, hint: str) -> None:
    path = file(text)
    with pytest.raises(InvalidSettings, match=re.escape(hint)) as caught:
        read_settings(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_former_name_leads_to_its_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not mapped: it was the time for the whole body, a silence is something else."""
    monkeypatch.setenv("BNN_BODY_TIMEOUT_MS", "5000")
    with pytest.raises(InvalidSettings, match="replaced by body_idle_timeout_ms"):
        read_settings()


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (
            {"deadline_ms": 50_000, "hang_ms": 49_999},
            [
                "expected hang_ms to be at least deadline_ms",
                "hang_ms = 49999 (option --hang-ms), deadline_ms = 50000 (option --deadline-ms)",
            ],
        ),
        (
            {"max_batch_images": 65},
            ["max_batch_images = 65 (option", "queue_images = 64 (default)"],
        ),
        (
            {"max_connections": 66, "workers": 2},
            ["above queue_images + workers", "max_connections = 66", "workers = 2"],
        ),
    ],
)
def test_values_that_cannot_work_together_are_named(
    values: dict[str, int], texts: list[str]
) -> None:
    with pytest.raises(InvalidSettings) as caught:
        read_settings(**values)
    assert "\n" not in str(caught.value)
    for text in texts:
        assert text in str(caught.value)


def test_values_at_the_edge_of_what_works_together_are_accepted() -> None:
    read_settings(deadline_ms=5000, hang_ms=5000, grace_ms=0)
    read_settings(max_batch_images=64, workers=2, max_connections=67)


def test_defaults_follow_the_settings_that_they_depend_on() -> None:
    small = read_settings(queue_images=2)
    assert (small.max_batch_images, small.max_connections) == (2, 512)
    assert read_settings(queue_images=1000, workers=2).max_connections == 2004
    assert read_settings(workers=3).decode_threads == 3


def test_a_port_that_kubernetes_has_set_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNN_PORT", "tcp://10.96.0.5:80")
    with pytest.raises(InvalidSettings) as caught:
        read_settings()
    text = str(caught.value)
    assert text.startswith("BNN_PORT: input should be a valid integer")
    assert "found 'tcp://10.96.0.5:80'. Kubernetes sets it for a Service named bnn" in text
    assert "enableServiceLinks: false" in text
    assert "rename the Service" in text


def test_a_field_that_does_not_exist_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValidationError, match="prot"):
        Settings(prot=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_setting_is_documented(variable: str) -> None:
    assert f"| `{variable}` |" in README, "service/README.md: its table of settings lacks it"
    assert variable in describe_settings()


def test_the_documentation_names_no_setting_that_does_not_exist() -> None:
    assert set(re.findall(r"BNN_[A-Z_]+", README)) <= set(VARIABLES) | EXPLAINED
    assert KERNEL_SETTINGS.keys() <= OTHER_VARIABLES.keys()


def test_the_documented_defaults_are_the_real_ones() -> None:
    documented = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", README, re.MULTILINE))
    for field, info in Settings.model_fields.items():
        if field != "bundle" and info.default_factory is None:
            expected = "none" if info.default in (None, ()) else f"`{info.default}`"
            assert documented[name_variable(field)] == expected
