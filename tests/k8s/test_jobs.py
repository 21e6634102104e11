"""The Jobs that classify by shards: what their pods are told, and that the shards are one whole."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from service.arguments import build_parser
from service.bulk.object_store import is_url
from service.bulk.options import limit_workers
from service.settings.settings import Settings
from tests.k8s.rendering import (
    JOBS,
    MANIFESTS,
    ROOT,
    VARIANTS,
    Rendered,
    kustomize,
    name_variant,
    parse,
    render,
)
from tests.k8s.test_manifests import read_version

SECONDS = 120
IMAGES = 40
INDEX = "JOB_COMPLETION_INDEX"


@pytest.fixture(params=JOBS, ids=name_variant)
def job(request: pytest.FixtureRequest) -> Rendered:
    return render(request.param)


def get_spec(job: Rendered) -> dict[str, Any]:
    spec: dict[str, Any] = job.only("Job")["spec"]
    return spec


def get_pod(job: Rendered) -> dict[str, Any]:
    pod: dict[str, Any] = get_spec(job)["template"]["spec"]
    return pod


def get_container(job: Rendered) -> dict[str, Any]:
    (container,) = get_pod(job)["containers"]
    found: dict[str, Any] = container
    return found


def expand(job: Rendered, index: int) -> tuple[list[str], dict[str, str]]:
    """Arguments and variables of the container, as kubelet makes them for a pod of this index."""
    container = get_container(job)
    environment = {each["name"]: each["value"] for each in container.get("env", [])}
    environment[INDEX] = str(index)
    arguments = [
        re.sub(r"\$\((\w+)\)", lambda match: environment[match[1]], text)
        for text in container["args"]
    ]
    return arguments, environment


def test_each_index_has_a_shard_and_a_file_of_its_own(
    job: Rendered, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = get_spec(job)
    assert spec["completionMode"] == "Indexed"
    shards, files = set(), set()
    for index in range(spec["completions"]):
        arguments, environment = expand(job, index)
        monkeypatch.setenv(INDEX, environment[INDEX])
        options = build_parser().parse_args(arguments)
        assert options.shard.count == spec["completions"]
        assert options.recursive
        assert options.accept_errors
        shards.add(options.shard)
        files.add(options.output)
    assert len(shards) == len(files) == spec["completions"] >= spec["parallelism"] > 1


def test_readme_shows_how_to_have_more_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (MANIFESTS / "README.md").read_text()
    block = re.search(r"      # mine/kustomization\.yaml\n((?:      .*\n)+)", text)
    assert block is not None
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kustomization.yaml").write_text(re.sub("(?m)^      ", "", block[1]))
    (tmp_path / "k8s").symlink_to(MANIFESTS)
    job = parse(kustomize(tmp_path / "mine"))
    monkeypatch.setenv(INDEX, "63")
    options = build_parser().parse_args(expand(job, 63)[0])
    assert options.shard.index == options.shard.count == get_spec(job)["completions"] == 64
    assert options.names == ["/images"]


def test_what_is_read_is_there_and_what_is_written_can_be(
    job: Rendered, monkeypatch: pytest.MonkeyPatch
) -> None:
    container, pod = get_container(job), get_pod(job)
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    for name, mount in mounts.items():
        assert mount.get("readOnly", False) == (name not in ("results", "tmp"))
    monkeypatch.setenv(INDEX, "0")
    options = build_parser().parse_args(expand(job, 0)[0])
    assert str(options.output.parent) == mounts["results"]["mountPath"]
    (source,) = options.names
    assert is_url(source) or source == mounts["images"]["mountPath"]
    (policy,) = job.find("NetworkPolicy")
    assert bool(policy["spec"]["egress"]) == is_url(source)
    assert policy["spec"]["ingress"] == []
    for volume in pod["volumes"]:
        if volume["name"] == "images":
            assert volume["persistentVolumeClaim"]["readOnly"] is True


def test_keys_are_files_that_others_cannot_read() -> None:
    job = render(("jobs/classify-objects",))
    (secret,) = (each["secret"] for each in get_pod(job)["volumes"] if "secret" in each)
    assert secret["defaultMode"] == 0o440
    environment = expand(job, 0)[1]
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == "/secrets/credentials"
    assert environment["AWS_CONFIG_FILE"] == "/secrets/config"


def test_evictions_are_no_failures_and_wrong_usage_is_not_tried_again(job: Rendered) -> None:
    spec, pod = get_spec(job), get_pod(job)
    assert pod["restartPolicy"] == "Never"  # which the policies ask for
    assert spec["backoffLimitPerIndex"] > 0
    assert spec["podReplacementPolicy"] == "Failed"
    ignore, fail = spec["podFailurePolicy"]["rules"]
    assert ignore["action"] == "Ignore"
    assert ignore["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert (fail["action"], fail["onExitCodes"]["values"]) == ("FailJob", [2])
    assert fail["onExitCodes"]["containerName"] == get_container(job)["name"]
    assert spec["ttlSecondsAfterFinished"] > 3600


def test_pods_have_the_rights_and_resources_of_the_service(job: Rendered) -> None:
    base = render(("base",))
    container, pod = get_container(job), get_pod(job)
    assert pod["securityContext"] == {
        **base.pod["securityContext"],
        "fsGroupChangePolicy": "OnRootMismatch",
    }
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    assert container["securityContext"] == base.container["securityContext"]
    assert container["resources"] == base.container["resources"]
    assert container["image"].endswith(f":{read_version()}")


def test_no_service_sends_requests_to_a_job(job: Rendered) -> None:
    labels = get_spec(job)["template"]["metadata"]["labels"]
    for variant in VARIANTS:
        for service in render(variant).find("Service"):
            assert not service["spec"]["selector"].items() <= labels.items()
    assert job.only("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels


# ---- the pods, as processes of this machine ----


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """What the claims have: images, one of them broken, and a folder for results."""
    found = {"/images": tmp_path / "images", "/results": tmp_path / "results"}
    (found["/images"] / "below").mkdir(parents=True)
    found["/results"].mkdir()
    for number in range(IMAGES):
        path = found["/images"] / ("below" if number % 3 else ".") / f"{number:02}.jpg"
        Image.new("RGB", (60, 40), (6 * number, 90, 255 - 6 * number)).save(path)
    broken = found["/images"] / "00.jpg"
    broken.write_bytes(broken.read_bytes()[:-50])
    return found


def start(arguments: list[str], environment: dict[str, str], folders: dict[str, Path]) -> Any:
    """The container's process, with its folders where they lie here."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BNN_")}
    for path, folder in folders.items():
        arguments = [
            re.sub(f"^(--output=)?{path}(?=/|$)", rf"\g<1>{folder}", each) for each in arguments
        ]
    return subprocess.Popen(
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env=clean | environment | {"BNN_WORKERS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: Any) -> None:
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors


def read_rows(*paths: Path) -> list[str]:
    return sorted(line for path in paths for line in path.read_text().splitlines())


def test_all_indices_together_are_one_run(folders: dict[str, Path]) -> None:
    """One of them is killed, as by an eviction, and its successor goes on with its file."""
    job = render(("jobs/classify",))
    count = get_spec(job)["completions"]
    for index in range(count):
        process = start(*expand(job, index), folders)
        if index == 1:
            file = folders["/results"] / "1.jsonl"
            deadline = time.monotonic() + SECONDS
            while not file.with_name("1.jsonl.run").exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            with file.open("ab") as half:  # whatever it had, it was in the middle of a row
                half.write(b'{"file": "')
            process = start(*expand(job, index), folders)
        finish(process)
    files = [folders["/results"] / f"{index}.jsonl" for index in range(count)]
    whole = folders["/results"] / "whole.jsonl"
    arguments = [each for each in expand(job, 0)[0] if not each.startswith("--shard")]
    arguments = [each.replace("/0.jsonl", "/whole.jsonl") for each in arguments]
    finish(start(arguments, {}, folders))
    rows = read_rows(*files)
    assert rows == read_rows(whole)
    assert len({json.loads(row)["file"] for row in rows}) == len(rows) == IMAGES
    assert sum("error" in json.loads(row) for row in rows) == 1


def test_memory_suffices_for_one_worker() -> None:
    """The run and its worker have a model each."""
    memory = get_container(render(("jobs/classify",)))["resources"]["limits"]["memory"]
    settings = Settings(memory_budget=memory, workers=1)
    assert limit_workers(settings) == 1


def test_an_index_without_a_shard_ends_the_job(folders: dict[str, Path]) -> None:
    job = render(("jobs/classify",))
    process = start(*expand(job, get_spec(job)["completions"]), folders)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert INDEX in errors
