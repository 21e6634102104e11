"""service.system.versions: what is installed, by its metadata."""

import pytest

from service.system.versions import read_versions


def test_packages_that_are_not_installed_have_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.system.versions._PACKAGES", ("numpy", "no-such-package"))
    assert read_versions().keys() == {"service", "python", "numpy"}
