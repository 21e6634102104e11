"""runtime.bundle: what is written is read, through links too; each fault has its own error."""

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime import (
    ENGINES,
    Bundle,
    Manifest,
    errors,
    load_engine,
    read_bundle,
    run_self_test,
    stamp_bundle,
)
from runtime.bundle import WEIGHTS, write_bundle
from runtime.manifest import FLOAT_ORDER, MANIFEST, MAX_MANIFEST_BYTES
from runtime.tensor_file import read_tensors
from tests.runtime.manifests import as_format_1, edit, make_manifest, write_example

GOLDEN = Path(__file__).parents[1] / "golden" / "format1"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_example(tmp_path)


def test_what_is_written_is_read(bundle: Bundle) -> None:
    again = read_bundle(bundle.path)
    assert again == bundle
    assert replace(again.manifest, files={}) == make_manifest()
    expected = read_tensors(bundle.path / WEIGHTS)
    found = again.tensors()
    assert {name: t.tobytes() for name, t in found.items()} == {
        name: t.tobytes() for name, t in expected.items()
    }


def test_a_manifest_of_format_1_is_written_as_the_newest(bundle: Bundle) -> None:
    edit(bundle, as_format_1)
    old = read_bundle(bundle.path)
    new = write_bundle(bundle.path, old.manifest, {WEIGHTS: bundle.path / WEIGHTS})
    full_size = replace(make_manifest().preprocessing, reduce=None)  # its answers stay
    assert replace(new.manifest, files={}) == replace(
        make_manifest(), preprocessing=full_size, reduction=None, float_order=FLOAT_ORDER
    )


def test_writing_replaces_a_bundle_and_nothing_else(bundle: Bundle, tmp_path: Path) -> None:
    files = {WEIGHTS: tmp_path / "weights"}
    second = write_bundle(bundle.path, replace(make_manifest(), name="second"), files)
    assert read_bundle(bundle.path).manifest.name == second.manifest.name == "second"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "weights"]
    for name in ("cat.jpg", "manifest.json"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text('{"format": 1, "name": "my web app"}')
        with pytest.raises(FileExistsError, match=f"other files there: {name}"):
            write_bundle(folder, make_manifest(), files)
        assert (folder / name).exists()
    (bundle.path / "notes.txt").touch()
    with pytest.raises(FileExistsError, match=r"other files there: notes\.txt"):
        write_bundle(bundle.path, make_manifest(), files)
    assert (bundle.path / "notes.txt").exists()
    with pytest.raises(FileExistsError, match="other files there: weights"):
        write_bundle(tmp_path / "weights", make_manifest(), files)


def test_file_not_listed_is_missing(bundle: Bundle) -> None:
    with pytest.raises(errors.MissingFile, match=r"lists no model\.ts"):
        bundle.file("model.ts")


def test_no_directory_and_no_manifest(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(errors.MissingFile, match=r"manifest\.json"):
            read_bundle(path)


def test_missing_truncated_and_changed_file(bundle: Bundle) -> None:
    path = bundle.path / WEIGHTS
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(errors.TruncatedFile, match=f"expected {len(whole)} bytes"):
        read_bundle(bundle.path)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(errors.ChecksumMismatch, match="expected sha256"):
        read_bundle(bundle.path)
    path.unlink()
    with pytest.raises(errors.MissingFile, match="not there"):
        read_bundle(bundle.path)


def test_directory_in_place_of_a_file(bundle: Bundle) -> None:
    (bundle.path / WEIGHTS).unlink()
    (bundle.path / WEIGHTS).mkdir()
    with pytest.raises(errors.MissingFile):
        read_bundle(bundle.path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "a\\b", "..", "", MANIFEST])
def test_names_that_lead_outside_are_refused(bundle: Bundle, name: str) -> None:
    edit(bundle, lambda m: m["files"].update({name: {"sha256": "0", "bytes": 1}}))
    with pytest.raises(errors.PathOutsideBundle):
        read_bundle(bundle.path)


def test_a_path_that_no_file_can_have(bundle: Bundle) -> None:
    with pytest.raises(errors.MissingFile, match="null"):
        read_bundle(f"{bundle.path}\0")


def test_what_may_not_be_read_is_named(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(errors.MissingFile, match=r"Permission denied.*Check its permissions"):
        read_bundle(bundle.path)
    with pytest.raises(errors.MissingFile, match=r"Permission denied.*Check its permissions"):
        bundle.file(WEIGHTS)


# ---- formats ----


@pytest.mark.parametrize("engine", ENGINES)
def test_bundle_of_format_1_is_read_for_ever(engine: str) -> None:
    """It was written by the first version that could."""
    loaded = load_engine(GOLDEN, engine)
    manifest = loaded.bundle.manifest
    assert (manifest.format, manifest.labels, manifest.temperature) == (
        1,
        ("ant", "bee", "cat"),
        1.5,
    )
    image = (np.arange(3 * 64, dtype=np.float32) % 7 - 3).reshape(1, 3, 8, 8) / 2
    expected = np.array([[-2.417513, -3.55383, -9.458569]], np.float32)
    assert np.allclose(loaded.predict(image), expected, atol=1e-4)
    assert run_self_test(loaded).verdict == "absent"


def test_format_1_is_told_to_people_once(caplog: pytest.LogCaptureFixture, bundle: Bundle) -> None:
    with caplog.at_level(logging.INFO, "runtime.bundle"):
        read_bundle(bundle.path)
        assert caplog.messages == []
        read_bundle(GOLDEN)
    (message,) = caplog.messages
    assert "has format 1, in which no digest covers the manifest" in message
    assert "python -m models.upgrade" in message


# ---- links ----


def mount_config_map(bundle: Bundle, mount: Path) -> Path:
    """Lays a bundle out as Kubernetes mounts a ConfigMap; the data's folder."""
    data = mount / "..2026_11_28_12_00_00.1"
    shutil.copytree(bundle.path, data)
    (mount / "..data").symlink_to(data.name)
    for file in data.iterdir():
        (mount / file.name).symlink_to(f"..data/{file.name}")
    return data


def test_config_map_is_read(bundle: Bundle, tmp_path: Path) -> None:
    data = mount_config_map(bundle, tmp_path / "mount")
    found = read_bundle(tmp_path / "mount")
    assert found == Bundle(data, bundle.manifest)
    assert found.tensors().keys() == bundle.tensors().keys()


def turn(mount: Path, fresh: Bundle) -> None:
    """Replaces the content of a ConfigMap as kubelet does: by turning one link, atomically."""
    data = mount / "..2026_11_28_12_05_00.2"
    shutil.copytree(fresh.path, data)
    (mount / "..data_tmp").symlink_to(data.name)
    (mount / "..data_tmp").rename(mount / "..data")


@pytest.fixture
def other(bundle: Bundle, tmp_path: Path) -> Bundle:
    """A bundle of the same name and sizes, with other weights."""
    weights = (tmp_path / "weights").read_bytes()
    (tmp_path / "others").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    manifest = replace(make_manifest(), labels=("bée", "ant"))
    return write_bundle(tmp_path / "other", manifest, {WEIGHTS: tmp_path / "others"})


def interrupt_reading(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Lets something happen between the reading of the manifest and that of the files."""
    from runtime import manifest

    def read_and_act(file: Path) -> Manifest:
        found = manifest.read_manifest(file)
        action()
        return found

    monkeypatch.setattr("runtime.bundle.read_manifest", read_and_act)


def test_config_map_replaced_while_it_is_read_is_read_as_it_was(
    bundle: Bundle, other: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = tmp_path / "mount"
    mount_config_map(bundle, mount)
    interrupt_reading(monkeypatch, lambda: turn(mount, other))
    found = read_bundle(mount)
    assert found.manifest == bundle.manifest
    assert found.file(WEIGHTS).read_bytes() == (bundle.path / WEIGHTS).read_bytes()
    monkeypatch.undo()
    assert read_bundle(mount).manifest == other.manifest


def test_config_map_whose_old_content_goes_away_is_refused_by_name(
    bundle: Bundle, other: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = tmp_path / "mount"
    data = mount_config_map(bundle, mount)
    found = read_bundle(mount)

    def replace_content() -> None:
        turn(mount, other)
        shutil.rmtree(data)

    interrupt_reading(monkeypatch, replace_content)
    with pytest.raises(errors.MissingFile, match="listed in the manifest, but not there"):
        read_bundle(mount)
    with pytest.raises(errors.MissingFile, match="listed in the manifest, but not there"):
        found.tensors()


def test_linked_directory_is_read(bundle: Bundle, other: Bundle, tmp_path: Path) -> None:
    """As a release is switched: the link is turned, what was read stays what it was."""
    link = tmp_path / "current"
    link.symlink_to(bundle.path.name)
    found = read_bundle(link)
    link.unlink()
    link.symlink_to(other.path)
    assert found == bundle
    assert found.tensors().keys() == bundle.tensors().keys()
    assert read_bundle(link) == other


def test_files_linked_one_by_one_are_read(bundle: Bundle, tmp_path: Path) -> None:
    """As caches do that name files by their content."""
    store, folder = tmp_path / "store", tmp_path / "links"
    store.mkdir()
    folder.mkdir()
    for number, file in enumerate(bundle.path.iterdir()):
        (folder / file.name).symlink_to(shutil.copy(file, store / str(number)))
    assert read_bundle(folder) == Bundle(folder, bundle.manifest)


def test_only_the_manifest_linked_is_read(bundle: Bundle, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(bundle.path / MANIFEST, elsewhere / MANIFEST)
    (bundle.path / MANIFEST).symlink_to(elsewhere / MANIFEST)
    assert read_bundle(bundle.path) == bundle


def test_links_that_lead_nowhere_are_missing_files(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.path / WEIGHTS).unlink()
    (bundle.path / WEIGHTS).symlink_to(tmp_path / "nowhere")
    with pytest.raises(errors.MissingFile, match=WEIGHTS):
        read_bundle(bundle.path)
    (bundle.path / MANIFEST).unlink()
    (bundle.path / MANIFEST).symlink_to(MANIFEST)  # to itself
    with pytest.raises(errors.MissingFile, match=MANIFEST):
        read_bundle(bundle.path)


def test_bundle_replaced_between_reading_and_use_is_refused(bundle: Bundle, other: Bundle) -> None:
    """Weights of another bundle never come under this manifest."""
    shutil.copy(other.path / WEIGHTS, bundle.path / WEIGHTS)
    with pytest.raises(errors.ChecksumMismatch):
        bundle.tensors()


def test_a_stamp_is_of_a_file_and_of_no_more_than_a_manifest_has(tmp_path: Path) -> None:
    assert stamp_bundle(tmp_path) is None
    manifest = tmp_path / MANIFEST
    os.mkfifo(manifest)  # reading it would never end
    assert stamp_bundle(tmp_path) is None
    manifest.unlink()
    manifest.symlink_to("/dev/zero")
    assert stamp_bundle(tmp_path) is None
    manifest.unlink()
    stamps = []
    for size in (MAX_MANIFEST_BYTES, MAX_MANIFEST_BYTES + 1, MAX_MANIFEST_BYTES + 2):
        manifest.write_bytes(bytes(size))
        stamps.append(stamp_bundle(tmp_path))
    assert None not in stamps
    assert stamps[0] != stamps[1] == stamps[2]
