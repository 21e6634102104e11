"""What the load tests' tests share: small real servers, and the short runs of a whole tool."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RunTool = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def anyio_backend() -> str:
    """The loop the tools run on."""
    return "asyncio"


@pytest.fixture
def run_tool(tmp_path: Path) -> RunTool:
    """Runs `python -m loadtests.NAME ...`; returns status, JSON result and everything printed."""

    def run(name: str, *options: str) -> tuple[int, dict[str, Any], str]:
        results = tmp_path / f"{name}.json"
        answer = subprocess.run(
            [sys.executable, "-m", f"loadtests.{name}", "--json", str(results), *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            env={**os.environ, "BNN_PORT": "1", "BNN_ENGINE": "none"},  # a shell's: not passed on
        )
        found = json.loads(results.read_text()) if results.exists() else {}
        return answer.returncode, found, answer.stdout + answer.stderr

    return run
