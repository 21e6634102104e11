"""Proofs of a deployment: minutes each, with tools of the system, so they run when asked for."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips what is marked `deploy`, unless --deploy was given."""
    if config.getoption("deploy"):
        return
    reason = "takes minutes: make prove-containers, make prove-raspberry-pi or make release"
    for item in items:
        if item.get_closest_marker("deploy"):
            item.add_marker(pytest.mark.skip(reason=reason))
