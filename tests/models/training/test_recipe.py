"""models.training.recipe: the published values, the schedule, what decays, what is refused."""

import itertools
from dataclasses import replace

import pytest
import torch

from models.errors import RecipeError
from models.networks.binary import BinaryConv2d
from models.networks.meliusnet import MeliusNet
from models.networks.specs import Spec
from models.training.recipe import Recipe, cosine


def test_default_is_the_published_recipe() -> None:
    recipe = Recipe()
    assert (recipe.epochs, recipe.batch, recipe.optimizer) == (120, 64, "radam")
    assert (recipe.learning_rate, recipe.weight_decay, recipe.seed) == (0.002, 0, 123)
    assert (recipe.augmentation, recipe.min_area) == ("resized_crop", 0.08)
    assert recipe.label_smoothing == recipe.distillation == recipe.warmup_epochs == 0
    assert recipe.color_jitter == recipe.blur == 0


def test_cosine_goes_from_one_to_zero() -> None:
    assert cosine(0, 10) == 1
    assert cosine(5, 10) == pytest.approx(0.5)
    assert cosine(10, 10) == pytest.approx(0)


def test_learning_rate_warms_up_then_falls_to_zero() -> None:
    recipe = Recipe(epochs=10, learning_rate=1, warmup_epochs=2)
    rates = [recipe.learning_rate_at(step, 5) for step in range(50)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10] == 1
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert recipe.learning_rate_at(50, 5) == pytest.approx(0)


@pytest.mark.parametrize("optimizer", ["radam", "adam"])
def test_latent_weights_and_offsets_never_decay(optimizer: str) -> None:
    network = MeliusNet(Spec("tiny", (1, 1), (64,), stem="small"), 2)
    made = Recipe(optimizer=optimizer, weight_decay=0.1).make_optimizer(network)
    decays = {id(p): group["weight_decay"] for group in made.param_groups for p in group["params"]}
    assert len(decays) == len(list(network.parameters()))
    latent = [m.weight for m in network.modules() if isinstance(m, BinaryConv2d)]
    assert latent
    assert all(decays[id(weight)] == 0 for weight in latent)
    assert decays[id(network.head.fc.weight)] == 0.1
    assert decays[id(network.head.bn.weight)] == 0
    before = [weight.clone() for weight in latent]
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    made.step()
    assert all(torch.equal(a, b) for a, b in zip(before, latent, strict=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", -1),
        ("batch", 0),
        ("optimizer", "sgd"),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("warmup_epochs", 120.0),
        ("weight_decay", -1.0),
        ("label_smoothing", 1.0),
        ("cutmix", 1.5),
        ("ema", 1.0),
        ("latent", 1e-7),
        ("latent", 1.5),
        ("crops", 0),
        ("crops", 65),
        ("other_share", 1.0),
        ("other_share", -0.1),
        ("noise", -0.1),
        ("augmentation", "none"),
        ("min_area", 0.0),
        ("color_jitter", 1.5),
        ("color_jitter", -0.1),
        ("blur", 1.5),
        ("blur", -0.1),
        ("blur", float("nan")),
        ("validation_share", 1.0),
        ("distillation", 1.5),
        ("distillation_temperature", 0.0),
        ("seed", -1),
    ],
)
def test_senseless_values_are_refused(name: str, value: object) -> None:
    with pytest.raises(RecipeError, match=f"expected .*{name}"):
        replace(Recipe(), **{name: value})  # type: ignore[arg-type]
