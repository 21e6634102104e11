"""The Dockerfile: clean for hadolint, unprivileged, and naming only settings that exist."""

import json
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from runtime import ENGINES, read_bundle
from service.settings.settings import KERNEL_SETTINGS, Settings, name_variable

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
    parts = re.split(r"^FROM (?:--platform=\S+ )?\S+ AS (\S+)$", dockerfile, flags=re.MULTILINE)
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
    assert list(stages) == [
        *("base", "builder", "builder-torch"),
        *("service", "baseline", "service-slim"),
    ]
    assert "--from=builder-torch /opt/bnn" in stages["service"]
    for name in ("baseline", "service-slim"):
        assert "--from=builder /opt/bnn" in stages[name]
    instructions = re.sub(r"^#.*\n", "", stages["builder"], flags=re.MULTILINE)
    assert "torch" not in instructions.replace("BNN_TORCH=OFF", "").lower()


def test_small_images_are_built_for_any_platform_without_emulation(
    dockerfile: str, stages: dict[str, str]
) -> None:
    """What runs, runs on the builder's platform; on the image's there are only copies."""
    (native,) = re.findall(r"^FROM --platform=\$BUILDPLATFORM \S+ AS (\S+)$", dockerfile, re.M)
    assert native == "builder"
    for name in ("base", "baseline", "service-slim"):
        assert not re.search(r"^RUN\b", stages[name], re.MULTILINE)


def test_base_image_and_package_indexes_are_arguments(dockerfile: str) -> None:
    assert {image for image in re.findall(r"^FROM (?:--\S+ )?(\S+)", dockerfile, re.M)} == {
        "${PYTHON_IMAGE}",
        "base",
    }
    for name in ("PYTHON_IMAGE", "PIP_INDEX_URL", "PIP_FIND_LINKS", "TORCH_INDEX"):
        assert re.search(rf"^ARG {name}\b", dockerfile, re.MULTILINE), name
    assert not re.search(r"://[^ /\n]*@", dockerfile), "no credentials"


def test_runs_unprivileged_and_stops_on_term(
    repository: Path, dockerfile: str, stages: dict[str, str]
) -> None:
    base = stages["base"]
    assert "\nUSER 10001:10001\n" in base
    assert "\nSTOPSIGNAL SIGTERM\n" in base
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", dockerfile, re.MULTILINE)
    (program,) = json.loads(entry)
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert program in project["scripts"]
    for name in ("service", "baseline", "service-slim"):
        assert not re.search(r"^(USER|ENTRYPOINT|CMD|RUN)\b", stages[name], re.MULTILINE)


def test_baseline_serves_a_bundle_that_is_in_the_image(
    repository: Path, stages: dict[str, str]
) -> None:
    path = re.search(r"BNN_BUNDLE=/opt/bnn/bundles/(\S+)", stages["baseline"])
    engine = re.search(r"BNN_ENGINE=(\S+)", stages["baseline"])
    assert path
    assert engine
    bundle = read_bundle(repository / "service" / "bundles" / path[1])
    for file in ENGINES[engine[1]][2]:
        assert file in bundle.manifest.files


def test_health_check_needs_no_shell_and_no_curl(stages: dict[str, str]) -> None:
    match = re.search(r"^HEALTHCHECK .*\n +CMD (\[.*\])$", stages["base"], re.MULTILINE)
    assert match
    command = json.loads(match[1])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    assert "/livez" in command[2]


def test_only_what_the_wheel_is_made_of_is_copied(repository: Path, dockerfile: str) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    packages = project["tool"]["scikit-build"]["wheel"]["packages"]
    files = [project["project"]["readme"], *project["project"]["license-files"]]
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
        if not source.startswith(".locks/")
    }
    assert copied == {"pyproject.toml", *files, *packages}
    let_in = re.findall(r"^!(.*)$", (repository / ".dockerignore").read_text(), re.MULTILINE)
    assert set(let_in) == {".locks/*.txt", *copied}


def test_nothing_that_is_left_out_is_needed(repository: Path) -> None:
    """No module of what is copied imports one that .dockerignore takes out of it."""
    ignored = (repository / ".dockerignore").read_text().splitlines()
    out = [path for line in ignored if line.startswith("runtime/") and (path := Path(line))]
    for path in out:
        assert (repository / path).exists(), path
    modules = {".".join(path.with_suffix("").parts) for path in out if path.suffix != ".svg"}
    assert modules == {"runtime.bench"}
    for package in ("runtime", "service"):
        for file in (repository / package).rglob("*.py"):
            name = ".".join(file.relative_to(repository).with_suffix("").parts)
            if not any(name == one or name.startswith(f"{one}.") for one in modules):
                text = file.read_text()
                for one in modules:
                    assert not re.search(rf"^\s*(from|import) {re.escape(one)}\b", text, re.M), file


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
