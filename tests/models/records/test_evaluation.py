"""models.records.evaluation: answers of models.evaluate, those of this repository too."""

import json
from dataclasses import fields
from pathlib import Path

from models.records.evaluation import Among, BundleAccuracy, Evaluation
from models.records.typed_json import as_json, parse_json


def test_answers_of_this_repository_are_read(repository: Path) -> None:
    paths = sorted((repository / "models" / "runs" / "references").glob("*.json"))
    assert len(paths) > 20
    for path in paths:
        content = json.loads(path.read_text())
        answer = parse_json(Evaluation, path.read_bytes(), where="", expected="", remedy="")
        written = as_json(answer)
        assert {key: written[key] for key in content} == content, path


def test_among_is_written_where_the_bundle_knows_more_classes() -> None:
    alone = BundleAccuracy(top1=1.0, top5=2.0, images=3)
    assert "among" not in as_json(alone)
    among = BundleAccuracy(top1=1.0, top5=2.0, images=3, among=Among(2, 50.0, 100.0))
    assert as_json(among)["among"] == {"classes": 2, "top1": 50.0, "top5": 100.0}
    assert {f.name for f in fields(BundleAccuracy)} < {f.name for f in fields(Evaluation)}
