"""What all tests share: fixed printed seeds, optional data, a loud count of what was skipped."""

import ast
import importlib.util
import random
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
OPTIONAL_DATA = ROOT.parent / "shared" / "data"
HAVE_TORCH = importlib.util.find_spec("torch") is not None
NEED_TORCH = frozenset({"torch", "models"})

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=20, help="seed of every generator in the tests")
    parser.addoption(
        "--deploy", action="store_true", help="run the proofs of tests/deploy too, minutes each"
    )


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.getoption('seed')} (--seed), torch: {'yes' if HAVE_TORCH else 'no'}"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The run's seed, for tests that make generators of their own."""
    return int(request.config.getoption("seed"))


@pytest.fixture(autouse=True)
def _seed_everything(seed: int) -> None:
    """Each test starts from the same state of the global generators, whatever ran before it."""
    random.seed(seed)
    np.random.seed(seed)
    if HAVE_TORCH:
        import torch

        torch.manual_seed(seed)


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """A generator of the test's own."""
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of optional photos beside the repository; where it is missing, skips naming it."""
    return _require(OPTIONAL_DATA / "photos")


@pytest.fixture(scope="session")
def mobilenet_v1() -> Path:
    """The folder of Google's quantised MobileNet-v1 files; where it is missing, skips naming it."""
    return _require(OPTIONAL_DATA / "mobilenet_v1")


def _require(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"optional data is missing: {path.relative_to(ROOT.parent)}")
    return path


class _WithoutTorch(pytest.Module):
    """A test module that cannot be imported here; skipped with a reason instead of failing."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        pytest.skip("torch is not installed", allow_module_level=True)


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    """Where torch is not installed, skips the modules that import it or the models."""
    if HAVE_TORCH or not _imports_torch(module_path):
        return None
    return _WithoutTorch.from_parent(parent, path=module_path)


@contextmanager
def _skip_without_torch() -> Iterator[None]:
    """Turns a failed import of torch inside a fixture or test into a counted skip."""
    try:
        yield
    except ModuleNotFoundError as fault:
        if HAVE_TORCH or fault.name != "torch":
            raise
        pytest.skip("torch is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    with _skip_without_torch():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    with _skip_without_torch():
        return (yield)


def _imports_torch(path: Path) -> bool:
    names: set[str] = set()
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return any(name.partition(".")[0] in NEED_TORCH for name in names)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Counts skips by reason: a green run must not hide what it did not run."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        terminalreporter.section(f"NOT RUN: {reasons.total()} skipped", yellow=True, bold=True)
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count:5}  {reason}", yellow=True)
