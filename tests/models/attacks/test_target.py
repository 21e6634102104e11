"""models.attacks.target: bundles, checkpoints and weights are opened; misfits are named."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.attacks.target import Target, group_answers, open_surrogate, open_target
from models.errors import NoGradients, RecipeError
from models.teachers.kinds import Kinds
from models.training.checkpoint import read_checkpoint
from models.training.initial_weights import write_weights
from tests.models.checkpoints import save_trained
from tests.models.small_networks import CLASSES, Masked, write_small_bundle


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_trained(tmp_path / "checkpoint.pt")


@pytest.fixture
def weights(checkpoint: Path, tmp_path: Path) -> Path:
    write_weights(read_checkpoint(checkpoint), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_a_checkpoint_has_gradients_and_an_engine_that_answers_alike(checkpoint: Path) -> None:
    pixels = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    with open_target(checkpoint) as target:
        assert target.gradients == "checkpoint"
        assert target.classes == ("blue", "red")
        assert target.binary
        assert target.network is not None
        # random weights: a value at a threshold may fall on either side
        difference = target.network(pixels.float()) - target.score(pixels)
        assert difference.abs().median() < 1e-4
        assert not any(p.requires_grad for p in target.network.parameters())


def test_weights_need_a_size_and_others_have_one(
    weights: Path, checkpoint: Path, tmp_path: Path
) -> None:
    with open_target(weights, 32) as target:
        assert (target.gradients, target.preprocessing.crop) == ("weights", 32)
    bundle = write_small_bundle(tmp_path / "small")
    with (
        pytest.raises(RecipeError, match=r"expected --image-size SIDE.*found none"),
        open_target(weights),
    ):
        pass
    for path in (checkpoint, bundle):
        with pytest.raises(RecipeError, match=r"--image-size with a file"), open_target(path, 32):
            pass


def test_a_class_called_other_becomes_no_label(tmp_path: Path) -> None:
    path = save_trained(tmp_path / "checkpoint.pt")
    content = torch.load(path, weights_only=True)
    torch.save({**content, "classes": ["blue", "other"], "labels": ["blue", "other"]}, path)
    with open_target(path) as target:
        assert target.classes == ("blue",)
        assert target.network is not None
        pixels = torch.zeros(2, 3, 16, 16)
        assert target.network(pixels).shape == target.score(pixels).shape == (2, 1)


def test_nothing_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"expected initial weights"), open_target(tmp_path):
        pass


def test_a_network_that_answers_otherwise_than_the_engine_is_refused(
    opened: tuple[Target, object],
) -> None:
    class Swapped(Masked):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return super().forward(pixels).flip(1)

    target = replace(opened[0], network=Swapped())
    pixels = torch.randint(0, 256, (16, 3, 16, 16), dtype=torch.uint8)
    with pytest.raises(NoGradients, match=r"expected a network with gradients that answers as"):
        target.add_gradients(pixels)


def test_gradients_that_are_no_numbers_are_refused_before_any_attack(
    opened: tuple[Target, object],
) -> None:
    class NotANumber(Masked):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return super().forward(pixels) + 0 * torch.sqrt(pixels - pixels).sum((2, 3))[:, :2]

    target = replace(opened[0], network=NotANumber())
    with pytest.raises(NoGradients, match=r"expected finite gradients .* found NaN"):
        target.add_gradients(torch.zeros(2, 3, 16, 16, dtype=torch.uint8))


def test_a_surrogate_knows_the_same_classes(checkpoint: Path, tmp_path: Path) -> None:
    with open_target(write_small_bundle(tmp_path / "small")) as target:
        name, network = open_surrogate(checkpoint, target)
        assert name.startswith("meliusnet13 on colours")
        assert network(torch.zeros(1, 3, 16, 16)).shape == (1, len(CLASSES))
    with (
        open_target(write_small_bundle(tmp_path / "more", ("blue", "red", "green"))) as target,
        pytest.raises(RecipeError, match=r"expected --surrogate with the classes"),
    ):
        open_surrogate(checkpoint, target)
    with (
        open_target(write_small_bundle(tmp_path / "third")) as target,
        pytest.raises(RecipeError, match=r"found a bundle. Give what it was made from"),
    ):
        open_surrogate(tmp_path / "more" / "bundle", target)


def test_kinds_are_sums_of_probabilities() -> None:
    kinds = Kinds({"b": (0, 2), "a": (3,)}, "other", frozenset(), frozenset())
    classes, answers = group_answers(kinds, 5)
    logits = torch.randn(4, 5)
    likely = logits.softmax(1)
    assert classes == ("a", "b")
    expected = torch.stack((likely[:, 3], likely[:, 0] + likely[:, 2]), 1)
    assert torch.allclose(answers(logits).exp(), expected, atol=1e-6)
    with pytest.raises(RecipeError, match=r"expected a network of ImageNet's 1,000 classes"):
        group_answers(kinds, 3)
