"""The Dockerfile: clean for hadolint, unprivileged, and naming only settings that exist."""

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from service.settings import KERNEL_SETTINGS, Settings, name_variable

# The last versions with a published fault that concerns this project.
FAULTY = {
    "h11": "0.15.0",
    "onnx": "1.21.0",
    "onnxruntime": "1.30.0",
    "pillow": "12.3.0",
    "pydantic-settings": "2.14.1",
    "pytest": "9.0.2",
    "python-multipart": "0.0.30",
    "tqdm": "4.66.2",
}
VARIABLE = re.compile(r"\bBNN_[A-Z_]+\b")
SETTINGS = {name_variable(field) for field in Settings.model_fields} | KERNEL_SETTINGS.keys()


@pytest.fixture(scope="module")
def dockerfile(repository: Path) -> str:
    return (repository / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def stages(dockerfile: str) -> dict[str, str]:
    """Name -> text of each stage, in order."""
    parts = re.split(r"^FROM \S+ AS (\S+)$", dockerfile, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def build_variables(repository: Path) -> set[str]:
    """What the build of the wheel reads from the environment."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    defines = project["tool"]["scikit-build"]["cmake"]["define"]
    return {value["env"] for value in defines.values()}


def test_hadolint_finds_nothing(repository: Path) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    answer = subprocess.run(
        [hadolint, repository / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_names_only_settings_that_exist(repository: Path, dockerfile: str) -> None:
    known = SETTINGS | build_variables(repository)
    assert set(VARIABLE.findall(dockerfile)) - known == set()


def test_default_stage_is_the_one_without_torch(stages: dict[str, str]) -> None:
    assert list(stages) == ["builder", "builder-torch", "base", "runtime-torch", "runtime"]
    assert "--from=builder /opt/bnn" in stages["runtime"]
    instructions = re.sub(r"^#.*\n", "", stages["builder"], flags=re.MULTILINE)
    assert "torch" not in instructions.replace("BNN_TORCH=OFF", "").lower()


def test_runs_unprivileged_and_stops_on_term(stages: dict[str, str]) -> None:
    base = stages["base"]
    assert "\nUSER 10001:10001\n" in base
    assert "\nSTOPSIGNAL SIGTERM\n" in base
    assert '\nENTRYPOINT ["python", "-m", "service"]\n' in base
    for name in ("runtime", "runtime-torch"):
        assert not re.search(r"^(USER|ENTRYPOINT|RUN)\b", stages[name], re.MULTILINE)


def test_health_check_needs_no_shell_and_no_curl(stages: dict[str, str]) -> None:
    match = re.search(r"^HEALTHCHECK .*\n +CMD (\[.*\])$", stages["base"], re.MULTILINE)
    assert match
    command = tomllib.loads(f"command = {match[1]}")["command"]
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    assert "/livez" in command[2]


def test_every_copied_path_is_in_the_build_context(repository: Path, dockerfile: str) -> None:
    for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (repository / source).exists(), line


def test_locks_name_no_index_and_hash_everything(repository: Path) -> None:
    for path in sorted((repository / ".locks").glob("*.txt")):
        text = path.read_text()
        assert "index-url" not in text
        assert "find-links" not in text
        requirements = re.split(r"(?<!\\)\n", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
        for requirement in filter(str.strip, requirements):
            assert re.match(r"[a-z0-9-]+==[^ ]+ ", requirement), requirement[:80]
            assert "--hash=sha256:" in requirement, requirement[:80]


def test_locks_agree_on_versions(repository: Path) -> None:
    def read(name: str) -> set[str]:
        text = (repository / ".locks" / name).read_text()
        return set(re.findall(r"^[a-z0-9-]+==\S+", text, re.MULTILINE))

    everything = read("dev.txt")
    for name in ("runtime.txt", "native.txt", "build.txt", "torch-dependencies.txt"):
        assert read(name) - everything == set()
    assert len(read("torch.txt")) == 1


def test_floors_are_above_versions_with_known_faults_and_below_the_locks(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    requirements = [Requirement(line) for line in lines if not line.startswith("bnn-service")]
    assert FAULTY.keys() <= {requirement.name for requirement in requirements}
    locks = "".join(path.read_text() for path in (repository / ".locks").glob("*.txt"))
    for requirement in requirements:
        faulty = FAULTY.get(requirement.name)
        assert faulty is None or not requirement.specifier.contains(faulty), requirement
        locked = re.findall(rf"^{requirement.name}==(\S+)", locks, re.MULTILINE)
        assert any(requirement.specifier.contains(Version(found)) for found in locked), requirement
