"""The Makefile: `make help` lists every command; what is set up without being asked for."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

STAMPS = ".venv/stamps"


@pytest.fixture(scope="module")
def text(repository: Path) -> str:
    """The Makefile and what it includes, with continued lines as one."""
    main = (repository / "Makefile").read_text()
    included = [repository / name for name in re.findall(r"^include (\S+)$", main, re.MULTILINE)]
    assert included
    return "\n".join([main, *(path.read_text() for path in included)]).replace("\\\n", " ")


@pytest.fixture(scope="module")
def commands(text: str) -> set[str]:
    """What is no file, without the parts of lint."""
    phony = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert "$(LINTERS)" in phony
    return {name for line in phony for name in line.split()} - {"$(LINTERS)"}


def test_help_lists_every_command(repository: Path, commands: set[str]) -> None:
    printed = subprocess.run(
        ["make", "help"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", printed, re.MULTILINE))
    listed.pop("serve BNN_PORT=9000", None)
    assert commands == listed.keys()
    assert "wheel-arm64" in listed


def test_every_explained_target_is_a_command(text: str, commands: set[str]) -> None:
    assert set(re.findall(r"^([\w-]+):.*? ## \S", text, re.MULTILINE)) == commands


def test_help_runs_two_programs_that_only_print(repository: Path) -> None:
    planned = subprocess.run(
        ["make", "--dry-run"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[0] for line in planned.splitlines()} == {"awk", "echo"}


@pytest.fixture
def make(repository: Path, tmp_path: Path):
    """What make would do, in a folder that has the Makefile and these stamps alone."""
    (tmp_path / "Makefile").write_bytes((repository / "Makefile").read_bytes())
    for name in (".ci", ".locks", "runtime", "pyproject.toml", "k8s"):
        (tmp_path / name).symlink_to(repository / name)

    def run(*arguments: str, stamps: tuple[str, ...] = ()) -> str:
        folder = tmp_path / STAMPS
        folder.mkdir(parents=True, exist_ok=True)
        for stamp in stamps:
            (folder / stamp).touch()
        hidden = ("BNN_", "MAKE", "MFLAGS", "WITH_TORCH", "CI")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        done = subprocess.run(
            ["make", "--dry-run", f"PYTHON3={sys.executable}", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def engine_of(plan: str, **variables: str) -> str:
    """The engine that the last command of a plan asks for: it is run, but for the service."""
    last = plan[plan.rindex("if test") :].replace(
        "exec .venv/bin/bnn-service", 'echo "engine=${BNN_ENGINE:-auto}"'
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BNN_")}
    done = subprocess.run(
        ["sh", "-c", last], env=environment | variables, capture_output=True, text=True, check=True
    )
    return done.stdout.rpartition("engine=")[2].strip()


def test_serving_installs_no_torch(make) -> None:
    plan = make("serve")
    assert "torch.txt" not in plan
    assert "BNN_TORCH=OFF" in plan
    assert engine_of(plan) == "auto"


def test_who_asks_for_torch_is_served_by_its_engine(make) -> None:
    plan = make("serve", "WITH_TORCH=yes")
    assert "torch.txt" in plan
    assert engine_of(plan) == "torchscript"
    assert engine_of(plan, BNN_ENGINE="native") == "native"


@pytest.mark.skipif(
    os.uname().machine != "x86_64" or sys.version_info >= (3, 14),
    reason="torch has no CPU build for this machine or Python",
)
@pytest.mark.parametrize("goals", [("setup",), ("test",), ("setup", "serve")])
def test_setting_up_installs_torch_also_after_serving(make, goals: tuple[str, ...]) -> None:
    assert "torch.txt" in make(*goals, stamps=("torch-no", "extension-torch-no"))


@pytest.mark.parametrize("goal", ["setup", "serve", "test"])
def test_what_was_asked_for_stays(make, goal: str) -> None:
    assert "torch.txt" not in make(goal, stamps=("torch-no", "torch-unwanted"))
    plan = make(goal, stamps=("torch-yes",))
    assert "BNN_TORCH=ON" in plan
    if goal == "serve":
        assert engine_of(plan) == "auto"


def test_a_refusal_is_remembered(make) -> None:
    assert f"touch {STAMPS}/torch-unwanted" in make("serve", "WITH_TORCH=no")
    assert f"touch {STAMPS}/torch-unwanted" not in make("serve")


def test_cpp_is_linted_and_built_from_every_room(make, repository: Path) -> None:
    """In folders of folders as well: what make does not see is neither laid out nor built."""
    sources = [path for path in (repository / "runtime" / "csrc").rglob("*") if path.is_file()]
    names = {str(path.relative_to(repository)) for path in sources}
    code = {name for name in names if name.endswith((".cpp", ".h", ".inc"))}
    assert len(code) > 60
    assert code <= set(make("lint-cpp").split())
    inputs = re.search(r"^BUILD_INPUTS := (.*)$", make("--print-data-base", "help"), re.MULTILINE)
    assert inputs is not None
    assert names <= {*inputs[1].split()}
