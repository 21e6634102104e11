"""bnn_client.answers: the members of each dataclass are those of the service's schema."""

from dataclasses import fields
from typing import Any

import pytest
from pydantic import BaseModel

from bnn_client import answers
from service.routes import schemas

PAIRS: list[tuple[Any, type[BaseModel]]] = [
    (answers.Prediction, schemas.PredictionBody),
    (answers.Hedged, schemas.HedgedBody),
    (answers.Model, schemas.ModelBody),
    (answers.ImageInfo, schemas.ImageBody),
    (answers.StageTimings, schemas.StageTimingsBody),
    (answers.Timings, schemas.TimingsBody),
    (answers.Classification, schemas.ClassifyBody),
    (answers.ItemProblem, schemas.ProblemItemBody),
    (answers.BatchItem, schemas.BatchItemBody),
    (answers.BatchFault, schemas.BatchFaultBody),
    (answers.BatchTimings, schemas.BatchTimingsBody),
    (answers.Batch, schemas.BatchBody),
    (answers.ModelInfo, schemas.InfoModelBody),
    (answers.ServedModel, schemas.ServedModelBody),
    (answers.ServedModels, schemas.ModelsBody),
    (answers.SkippedEngine, schemas.SkippedBody),
    (answers.EngineInfo, schemas.InfoEngineBody),
    (answers.SelfTest, schemas.SelfTestBody),
    (answers.ServiceInfo, schemas.InfoBody),
]


@pytest.mark.parametrize(("kind", "schema"), PAIRS, ids=lambda it: it.__name__)
def test_members_are_those_of_the_schema(kind: Any, schema: type[BaseModel]) -> None:
    assert {field.name for field in fields(kind)} == schema.model_fields.keys()


def test_none_is_forgotten() -> None:
    defined = {value for value in vars(answers).values() if hasattr(value, "__dataclass_fields__")}
    assert {kind for kind, _ in PAIRS} == defined
