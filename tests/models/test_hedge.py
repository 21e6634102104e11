"""models.hedge: from a bundle without a hierarchy to one whose certainties were measured."""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from models.data.datasets import open_data_set
from models.data.hierarchies import Draft, read_draft
from models.evaluate import main as evaluate
from models.hedge import fit_bundle, main
from models.known import fit_bundle as fit_known
from models.records.hedging import HedgedRecord
from models.records.typed_json import parse_json
from models.upgrade import main as upgrade
from runtime import Engine, load_engine, read_bundle
from tests.models.checkpoints import export_trained
from tests.models.images import write_colours

HIERARCHY = '[colour]\nphrase = "a colour"\nbelow = ["blue", "red"]\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for blue and red, images of both and of others, a hierarchy."""
    folder = tmp_path_factory.mktemp("hedge")
    export_trained(folder)
    write_colours(folder / "data" / "val", 12, "blue", "red", "near", seed=2)
    write_colours(folder / "data" / "test", 10, "blue", "red", "far", "near", seed=3)
    (folder / "colours.toml").write_text(HIERARCHY)
    return folder


class ByColour:
    """An engine for blue and red that tells them without fault."""

    name, implementation = "colour", "none"

    def __init__(self, engine: Engine) -> None:
        self.bundle = engine.bundle

    def predict(self, images: np.ndarray) -> np.ndarray:
        logits: np.ndarray = 5 * images.mean(axis=(2, 3))[:, [2, 0]]
        return logits


def hedge(folder: Path, out: Path, *more: str) -> int:
    places = ["--data", str(folder / "data"), "--out", str(out), "--quiet"]
    hierarchy = [] if "--hierarchy" in more else ["--hierarchy", str(folder / "colours.toml")]
    return main([str(folder / "bundle"), *places, *hierarchy, *more])


def test_key_and_figures_of_a_fit(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert hedge(folder, out) == 0
    text = capsys.readouterr().out
    printed = json.loads(text)
    record = parse_json(HedgedRecord, text, where="", expected="a record", remedy="")
    assert 0 < record.answer_us < 1e6
    before, after = read_bundle(folder / "bundle").manifest, read_bundle(out).manifest
    hierarchy = after.hierarchy
    assert hierarchy is not None
    assert hierarchy.measured is not None
    assert after.files == before.files
    assert replace(after, hierarchy=None, format=before.format) == before
    assert (hierarchy.images, hierarchy.measured.images) == (24, 20)
    assert printed["fitted_on"]["images_known"] == 24
    assert printed["measured_on"] == {
        "images_known": 20, "images_far": 10, "images_near": 10, "sha256": hierarchy.measured.sha256
    }  # fmt: skip
    assert hierarchy.levels[-1].bonus is None  # 24 images show no 99 %
    rows = printed["levels"]
    assert [row["lambda"] for row in rows] == [level.bonus for level in hierarchy.levels]
    assert [row["got"] for row in rows] == [one.got for one in hierarchy.measured.levels]
    assert (rows[-1]["root"], rows[-1]["root_far"], rows[-1]["got"]) == (1.0, 1.0, 1.0)
    assert hedge(folder, out) == 2
    assert "found a bundle in it" in capsys.readouterr().err
    assert hedge(folder, out, "--replace", "--engine", "onnx") == 0


def test_a_sure_network_answers_with_labels(folder: Path, tmp_path: Path) -> None:
    engine = cast(Engine, ByColour(load_engine(folder / "bundle")))
    data = open_data_set(folder / "data", needs_train=False)
    draft = read_draft(folder / "colours.toml", ("blue", "red"))
    bundle, figures = fit_bundle(engine, data, draft, tmp_path / "out")
    assert bundle.manifest.hierarchy is not None
    assert bundle.manifest.hierarchy.levels[0].bonus == 0
    assert (figures["levels"][0]["label"], figures["levels"][0]["got"]) == (1.0, 1.0)


def test_data_may_call_labels_otherwise(folder: Path, tmp_path: Path) -> None:
    """As WordNet's ids do."""
    engine = cast(Engine, ByColour(load_engine(folder / "bundle")))
    write_colours(tmp_path / "data" / "test", 8, "blue", "red")
    for name, new in (("blue", "n00000001"), ("red", "n00000002")):
        (tmp_path / "data" / "test" / name).rename(tmp_path / "data" / "test" / new)
    data = open_data_set(tmp_path / "data", needs_train=False)
    drawn = read_draft(folder / "colours.toml", ("blue", "red"))
    draft = Draft(drawn.nodes, drawn.parents, "a notice")
    classes = ("n00000001", "n00000002")
    bundle, figures = fit_bundle(engine, data, draft, tmp_path / "out", classes)
    assert figures["top1"] == 1.0
    assert bundle.manifest.hierarchy is not None
    assert bundle.manifest.hierarchy.notice == "a notice"
    assert figures["fitted_on"]["images_known"] + figures["measured_on"]["images_known"] == 16


def test_labels_by_wordnet(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nouns, ids = tmp_path / "data.noun", tmp_path / "ids.txt"
    lines = ["00001740 03 n 01 entity 0 000 | all"]
    for offset, word, above in ((1, "blue", 3), (2, "red", 3), (3, "colour", 1740)):
        lines.append(f"{offset:08d} 03 n 01 {word} 0 001 @ {above:08d} n 0000 | {word}")
    nouns.write_text("  1 A licence  \n" + "\n".join(lines) + "\n")
    ids.write_text("n00000001\nn00000002\n")
    for i, more in enumerate([[], ["--ids", str(ids)]]):
        assert hedge(folder, tmp_path / str(i), "--hierarchy", str(nouns), *more) == 0
        hierarchy = read_bundle(tmp_path / str(i)).manifest.hierarchy
        assert hierarchy is not None
        assert ([node.phrase for node in hierarchy.nodes], hierarchy.notice) == (
            ["a colour"], "A licence"
        )  # fmt: skip
    ids.write_text("n00000001\nn00000009\n")
    capsys.readouterr()
    assert hedge(folder, tmp_path / "2", "--hierarchy", str(nouns), "--ids", str(ids)) == 2
    assert "with --ids" in capsys.readouterr().err
    ids.write_bytes(b"\xff")
    assert hedge(folder, tmp_path / "2", "--hierarchy", str(nouns), "--ids", str(ids)) == 2
    assert "ids.txt: expected WordNet ids in UTF-8" in capsys.readouterr().err
    assert hedge(folder, tmp_path / "2", "--ids", str(ids)) == 2
    assert "found it beside a .toml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HIERARCHY.replace('"blue", ', ""), "found no place for blue"),
        (HIERARCHY.replace('"red"', '"red", "colour"'), "one root"),
        (HIERARCHY + '[dye]\nphrase = "a dye"\nbelow = ["colour"]\n', "the same"),
        ("", "found no place for blue, red"),
    ],
)
def test_wrong_hierarchies_are_refused_before_the_work(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    assert hedge(folder, tmp_path / "out", "--hierarchy", str(path)) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "wrong.toml: " in err
    assert not (tmp_path / "out").exists()


def test_evaluate_says_asked_against_got(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, data = tmp_path / "out", str(folder / "data")
    assert hedge(folder, out) == 0
    fitted = json.loads(capsys.readouterr().out)
    assert evaluate([str(out), "--data", data, "--certainty", "--quiet"]) == 0
    hedged = json.loads(capsys.readouterr().out)["hedged"]
    assert list(hedged) == ["0.5", "0.8", "0.9", "0.95", "0.99"]
    for row in fitted["levels"]:
        expected = {name: row[name] for name in ("got", "information", "root", "label")}
        assert hedged[f"{row['certainty']:g}"] == expected
    assert evaluate([str(out), "--data", data, "--quiet"]) == 0
    assert "hedged" not in json.loads(capsys.readouterr().out)
    assert evaluate([str(folder / "bundle"), "--data", data, "--certainty"]) == 2
    assert "expected a bundle with a hierarchy" in capsys.readouterr().err


def test_a_new_temperature_leaves_it_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """But an upgrade keeps it."""
    out = tmp_path / "out"
    assert hedge(folder, out) == 0
    hierarchy = read_bundle(out).manifest.hierarchy
    assert upgrade([str(out), "--out", str(tmp_path / "upgraded")]) == 0
    assert read_bundle(tmp_path / "upgraded").manifest.hierarchy == hierarchy
    engine = cast(Engine, ByColour(load_engine(out)))
    data = open_data_set(folder / "data", needs_train=False)
    bundle, _ = fit_known(engine, data, tmp_path / "known")
    assert bundle.manifest.hierarchy is None


def test_images_of_none_of_the_labels_fit_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_colours(tmp_path / "data" / "val", 2, "far", "near")
    write_colours(tmp_path / "data" / "test", 2, "far", "near")
    arguments = ["--data", str(tmp_path / "data"), "--hierarchy", str(folder / "colours.toml")]
    assert main([str(folder / "bundle"), *arguments, "--out", str(tmp_path / "out")]) == 2
    assert "(colours); found 0 and 4. Add some." in capsys.readouterr().err
