"""service.command_line: what was asked for is done, and the status tells how it went."""

from typing import Any

import pytest

from service.command_line import run


def test_help_lists_the_settings(capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        run(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for name in ("BNN_HOST", "BNN_BUNDLE", "BNN_FORCE_IMPLEMENTATION", "classify"):
        assert name in text
