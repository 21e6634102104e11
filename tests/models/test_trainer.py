"""models.trainer: learns, resumes exactly, measures in float32."""

from dataclasses import replace

import pytest
import torch

from models.data import MEAN, STD, DataError, LabelledImages
from models.meliusnet import MeliusNet
from models.specs import Spec
from models.trainer import Recipe, Trainer, cosine, evaluate
from runtime import Preprocessing

SIDE = 16
PREPROCESSING = Preprocessing(SIDE, SIDE, "bilinear", MEAN, STD)
RECIPE = Recipe(
    epochs=3, batch=4, learning_rate=0.01, seed=5, augmentation="crop", validation_share=0.1
)


def two_colours(count: int = 64) -> LabelledImages:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    pixels = torch.randint(0, 128, (count, 3, SIDE, SIDE), generator=generator)
    pixels[labels == 1, 0] += 127
    return LabelledImages(pixels.to(torch.uint8), labels, ("blue", "red"))


def make_trainer(recipe: Recipe = RECIPE) -> Trainer:
    torch.manual_seed(recipe.seed)
    network = MeliusNet(Spec("tiny", (1, 1), (64,), stem="small"), 2)
    return Trainer(network, two_colours(), recipe, PREPROCESSING)


def test_training_learns_two_colours() -> None:
    trainer = make_trainer()
    metrics = [trainer.run_epoch(progress=False) for _ in range(RECIPE.epochs)]
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    assert metrics[-1]["validation_top1"] == 100
    assert evaluate(trainer.network, two_colours(), PREPROCESSING)["top1"] == 100


def test_resumed_run_ends_with_the_same_weights() -> None:
    unbroken = make_trainer()
    for _ in range(3):
        unbroken.run_epoch(progress=False)
    first = make_trainer()
    first.run_epoch(progress=False)
    state = first.state()
    second = make_trainer()
    second.restore(state)
    for _ in range(2):
        second.run_epoch(progress=False)
    for (name, a), b in zip(
        unbroken.network.state_dict().items(), second.network.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


def test_resuming_another_recipe_is_refused() -> None:
    state = make_trainer().state()
    with pytest.raises(DataError, match="the checkpoint was made with"):
        make_trainer(Recipe(epochs=9)).restore(state)


def test_cosine_goes_from_one_to_zero() -> None:
    assert cosine(0, 10) == 1
    assert cosine(5, 10) == pytest.approx(0.5)
    assert cosine(10, 10) == pytest.approx(0)


def test_mixed_precision_learns_too() -> None:
    trainer = make_trainer(replace(RECIPE, mixed_precision=True))
    metrics = [trainer.run_epoch(progress=False) for _ in range(RECIPE.epochs)]
    assert metrics == trainer.history
    assert metrics[-1]["loss"] < metrics[0]["loss"]


@pytest.mark.parametrize("mixed_precision", [False, True])
def test_epochs_are_drawn_from_seed_and_number_alone(mixed_precision: bool) -> None:
    recipe = replace(RECIPE, mixed_precision=mixed_precision)
    one, two = make_trainer(recipe), make_trainer(recipe)
    torch.manual_seed(99)  # the global generator has no part in it
    assert one.run_epoch(progress=False)["loss"] == two.run_epoch(progress=False)["loss"]
