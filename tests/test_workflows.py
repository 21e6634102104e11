"""GitHub's workflows run what developers run, with pinned actions and the rights they need."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOWS = sorted((Path(__file__).resolve().parent.parent / ".github/workflows").glob("*.yml"))
COMMAND = re.compile(
    r"(sudo )?make [a-z0-9 -]+( RELEASE_TAG=\"\$RELEASE_TAG\")?( > dist/\S+)?|\.ci/run"
    r"|gh release create \"\$RELEASE_TAG\" --verify-tag .*"
)


def read(workflow: Path) -> dict[Any, Any]:
    """The workflow; YAML reads its key `on` as True."""
    content: dict[Any, Any] = yaml.safe_load(workflow.read_text())
    return content


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    for job in read(workflow)["jobs"].values():
        yield from job["steps"]


def test_there_is_one_for_each_purpose() -> None:
    jobs = {name for workflow in WORKFLOWS for name in read(workflow)["jobs"]}
    assert jobs == {"lint", "test", "image", "release"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_commands_are_those_of_the_project(workflow: Path) -> None:
    makefile = (workflow.parents[2] / "Makefile").read_text()
    commands = [step["run"] for step in steps(workflow) if "run" in step]
    assert commands
    for command in commands:
        assert COMMAND.fullmatch(command), command
        if made := re.search(r"make (?:--keep-going )?([a-z0-9-]+)", command):
            assert re.search(rf"^{made[1]}:", makefile, re.MULTILINE), command


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_keep_no_credentials(workflow: Path) -> None:
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"])
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_nothing_is_allowed_but_what_a_job_says(workflow: Path) -> None:
    content = read(workflow)
    assert content["permissions"] == {}
    for job in content["jobs"].values():
        allowed = {"contents": "write" if workflow.stem == "release" else "read"}
        assert job["permissions"] == allowed
        assert job["timeout-minutes"] <= 90


def test_the_oldest_python_and_both_machines_are_tested() -> None:
    (workflow,) = (path for path in WORKFLOWS if path.stem == "test")
    matrix = read(workflow)["jobs"]["test"]["strategy"]["matrix"]["include"]
    assert {item["python"] for item in matrix} == {"3.11", "3.13"}
    assert {item["runner"] for item in matrix} == {"ubuntu-24.04", "ubuntu-24.04-arm"}


def test_a_release_is_made_of_a_tag_alone() -> None:
    (workflow,) = (path for path in WORKFLOWS if path.stem == "release")
    assert read(workflow)[True] == {"push": {"tags": ["v*"]}}
