"""service.settings: defaults, environment, error texts, and that README documents every one."""

import re
from pathlib import Path

import pytest

import service
from service.settings import (
    KERNEL_SETTINGS,
    InvalidSettings,
    Settings,
    describe_settings,
    list_unknown_variables,
    name_variable,
    read_settings,
)

README = (Path(service.__file__).parent / "README.md").read_text()
VARIABLES = [*map(name_variable, Settings.model_fields), *KERNEL_SETTINGS]


def test_defaults() -> None:
    settings = read_settings()
    assert (settings.host, settings.port, settings.engine) == ("127.0.0.1", 8000, "auto")
    assert settings.bundle.parts[-3:] == ("service", "bundles", "default")
    assert settings.bundle.is_absolute()
    assert 1 <= settings.threads <= 4
    limits = settings.image_limits
    assert (limits.max_bytes, limits.max_pixels, limits.max_scans) == (10 * 2**20, 25_000_000, 20)


def test_the_environment_is_read_and_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNN_PORT", "9000")
    monkeypatch.setenv("BNN_BUNDLE", "some/where")
    monkeypatch.setenv("BNN_ENGINE", "")
    settings = read_settings(port=9001)
    assert settings.port == 9001
    assert settings.bundle == Path("some/where")
    assert settings.engine == "auto"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BNN_PORT", "70000"),
        ("BNN_PORT", "http"),
        ("BNN_ENGINE", "tensorflow"),
        ("BNN_THREADS", "0"),
        ("BNN_DECODE_THREADS", "many"),
        ("BNN_MAX_PIXELS", "1000000000"),
        ("BNN_BODY_TIMEOUT_MS", "0"),
        ("BNN_LOG_LEVEL", "loud"),
        ("BNN_LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=rf"{name}: input should be .*; found '{value}'"):
        read_settings()


def test_misspelt_variables_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list_unknown_variables() == []
    for name in ("BNN_PROT", "BNN_PORT", "BNN_FORCE_IMPLEMENTATION"):
        monkeypatch.setenv(name, "1")
    assert list_unknown_variables() == ["BNN_PROT"]


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_setting_is_documented(variable: str) -> None:
    assert f"| `{variable}` |" in README, "service/README.md: its table of settings lacks it"
    assert variable in describe_settings()


def test_the_documentation_names_no_setting_that_does_not_exist() -> None:
    assert set(re.findall(r"BNN_[A-Z_]+", README)) <= set(VARIABLES)


def test_the_documented_defaults_are_the_real_ones() -> None:
    documented = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", README, re.MULTILINE))
    for field, info in Settings.model_fields.items():
        if field not in ("bundle", "threads"):
            assert documented[name_variable(field)] == str(info.default)
