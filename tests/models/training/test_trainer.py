"""models.training.trainer: learns, resumes exactly at any step, measures in float32."""

import copy
import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from models.data.augmentation import (
    BLUR_DRAWS,
    COLOR_DRAWS,
    DRAWS,
    augment_crop,
    blur,
    draw,
    jitter_colors,
    normalize,
)
from models.data.decoded import LabelledImages
from models.data.others import OTHER
from models.data.preprocessing import whole_preprocessing
from models.errors import CheckpointMismatch, DataError, Diverged, RecipeError
from models.evaluation.metrics import evaluate
from models.networks.meliusnet import MeliusNet
from models.networks.specs import Spec
from models.training.checkpoint import State
from models.training.distributed import Processes
from models.training.options import find_python_header
from models.training.recipe import Recipe
from models.training.trainer import AUGMENTATION, Execution, Trainer, distillation_loss, seeded

SIDE = 16
PREPROCESSING = whole_preprocessing(SIDE)
RECIPE = Recipe(epochs=3, batch=4, learning_rate=0.01, seed=5, augmentation="crop")


def two_colours(count: int = 64, side: int = SIDE) -> LabelledImages:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    pixels = torch.randint(0, 128, (count, 3, side, side), generator=generator)
    pixels[labels == 1, 0] += 127
    return LabelledImages(pixels.to(torch.uint8), labels, ("blue", "red"))


def make_trainer(recipe: Recipe = RECIPE, count: int = 64, **options: Any) -> Trainer:
    torch.manual_seed(recipe.seed)
    network = MeliusNet(Spec("tiny", (1, 1), (64,), stem="small"), 2)
    return Trainer(network, two_colours(count), two_colours(8), recipe, PREPROCESSING, **options)


def finish(trainer: Trainer) -> dict[str, torch.Tensor]:
    while not trainer.finished:
        trainer.run_epoch()
    return trainer.network.state_dict()


def assert_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize(
    ("recipe", "execution"),
    [
        (RECIPE, Execution()),
        (replace(RECIPE, mixed_precision=True), Execution(channels_last=True)),
        (replace(RECIPE, cutmix=0.3, label_smoothing=0.1), Execution()),
        (replace(RECIPE, freeze=1), Execution(channels_last=True, kernels=True)),
        (replace(RECIPE, augmentation="resized_crop", label_smoothing=0.1), Execution()),
        (replace(RECIPE, optimizer="adam", weight_decay=0.01, warmup_epochs=1), Execution()),
    ],
)
def test_training_learns_two_colours(recipe: Recipe, execution: Execution) -> None:
    trainer = make_trainer(recipe, execution=execution)
    metrics = [trainer.run_epoch() for _ in range(recipe.epochs)]
    assert trainer.finished
    assert metrics == trainer.history
    assert metrics[-1].train_top1 > 80
    assert metrics[-1].validation_top1 == 100
    assert evaluate(trainer.network, two_colours(), PREPROCESSING).top1 == 100


COMPILED = pytest.param(
    True,
    Execution(compile_network=True, channels_last=True),
    (3,),
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(
            not find_python_header().is_file(), reason="torch.compile needs python3-dev: Python.h"
        ),
        pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # inside torch
    ],
)


@pytest.mark.parametrize(
    ("mixed_precision", "execution", "steps"),
    [
        (False, Execution(), (0, 3, 4, 6)),
        (True, Execution(), (0, 3, 4, 6)),
        (False, Execution(kernels=True), (0, 3, 4, 6)),  # and frozen groups, an average, noise
        COMPILED,
    ],
)
def test_resumed_at_any_step_it_ends_with_the_same_weights(
    mixed_precision: bool, execution: Execution, steps: tuple[int, ...]
) -> None:
    recipe = replace(RECIPE, epochs=2, mixed_precision=mixed_precision)
    recipe = replace(recipe, freeze=2, ema=0.9, noise=0.2) if execution.kernels else recipe
    states: list[State] = []
    unbroken = make_trainer(recipe, 20, execution=execution)

    def keep() -> None:
        states.append(deepcopy(unbroken.state()))

    while not unbroken.finished:
        unbroken.run_epoch(after_step=keep)
    assert len(states) == 2 * 4, "not after the last step of an epoch"
    for step in steps:
        resumed = make_trainer(recipe, 20, execution=execution)
        resumed.restore(states[step])
        torch.manual_seed(99)  # the global generator has no part in it
        assert_equal(finish(resumed), unbroken.network.state_dict())
        told = [[(m.loss, m.turned) for m in t.history] for t in (resumed, unbroken)]
        assert told[0] == told[1]
        assert told[0][-1][1]  # some binary weights have turned


def test_images_may_be_larger_than_the_input() -> None:
    torch.manual_seed(0)
    network = MeliusNet(Spec("tiny", (1,), (), stem="small"), 2)
    recipe = replace(RECIPE, epochs=1, augmentation="resized_crop")
    trainer = Trainer(network, two_colours(8, side=24), None, recipe, PREPROCESSING)
    metrics = trainer.run_epoch()
    assert metrics.validation_top1 is None
    assert metrics.epoch == 1


def test_resuming_another_recipe_is_refused() -> None:
    state = make_trainer().state()
    with pytest.raises(CheckpointMismatch, match=r"made with \{'epochs': 3\}.*asks for.*9"):
        make_trainer(replace(RECIPE, epochs=9)).restore(state)
    make_trainer().restore(state)
    for name in ("color_jitter", "blur", "cutmix", "noise", "ema"):
        changed = make_trainer(replace(RECIPE, **{name: 0.5}))  # type: ignore[arg-type]
        with pytest.raises(CheckpointMismatch, match=rf"'{name}': 0.0\}}.*'{name}': 0.5"):
            changed.restore(state)


@pytest.mark.parametrize(
    ("color_jitter", "blurred"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.9), (0.5, 0.9)]
)
def test_processes_share_what_one_would_draw(
    monkeypatch: pytest.MonkeyPatch, color_jitter: float, blurred: float
) -> None:
    # Of images this small the published deviations leave every pixel as it is.
    monkeypatch.setattr("models.data.augmentation.SIGMAS", (5.0, 30.0))
    recipe = replace(RECIPE, color_jitter=color_jitter, blur=blurred)
    seen: list[torch.Tensor] = []
    for processes in (Processes(), Processes(0, 2), Processes(1, 2)):
        monkeypatch.setattr(Processes, "wrap", lambda _, network: network)
        trainer = make_trainer(recipe, processes=processes)
        trainer.forward = lambda inputs: (seen.append(inputs), torch.zeros(len(inputs), 2))[1]  # type: ignore[func-returns-value]
        with pytest.raises(RuntimeError, match="grad"):
            trainer._train_step(torch.arange(4))
    whole, first, second = seen
    assert torch.equal(whole[0::2], first)
    assert torch.equal(whole[1::2], second)
    numbers = DRAWS + COLOR_DRAWS * (color_jitter > 0) + BLUR_DRAWS * (blurred > 0)
    draws = draw(4, seeded(RECIPE.seed, AUGMENTATION, 0), numbers)
    pixels = augment_crop(two_colours().pixels[:4], draws[:, :DRAWS], SIDE, RECIPE.min_area)
    if color_jitter:
        pixels = jitter_colors(pixels, draws[:, DRAWS : DRAWS + COLOR_DRAWS], color_jitter)
    if blurred:
        sharp, pixels = pixels, blur(pixels, draws[:, -BLUR_DRAWS:], blurred)
        assert not torch.equal(pixels, sharp)
    assert torch.equal(whole, normalize(pixels, PREPROCESSING))


def test_uneven_shares_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"found 4\. Give a multiple of 3"):
        make_trainer(processes=Processes(0, 3))
    with pytest.raises(DataError, match="at least one image per process"):
        make_trainer(count=2, processes=Processes(0, 3))


def test_a_lost_training_says_so() -> None:
    trainer = make_trainer(replace(RECIPE, epochs=1))
    with torch.no_grad():
        trainer.network.get_parameter("head.fc.bias").fill_(float("inf"))
    with pytest.raises(Diverged, match="Lower --learning-rate"):
        trainer.run_epoch()


def test_weights_that_the_last_step_spoils_are_noticed() -> None:
    """The loss of the only step is from before it."""
    with pytest.raises(Diverged, match=r"finite validation loss, found nan in epoch 1\. Lower"):
        make_trainer(replace(RECIPE, epochs=1, learning_rate=1e30), count=4).run_epoch()


def test_measurements_can_be_rarer() -> None:
    trainer = make_trainer(count=8, execution=Execution(measure_every=2))
    measured = [trainer.run_epoch().validation_top1 is not None for _ in range(3)]
    assert measured == [False, True, True], "every second, and the last one"


def test_generators_differ_in_seed_purpose_and_number() -> None:
    draws = {
        torch.rand((), generator=seeded(*key)).item()
        for key in ((1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1), (1, 0, 2))
    }
    assert len(draws) == 5


def test_distillation_pulls_towards_the_teacher() -> None:
    answers = torch.tensor([[2.0, 0, -1]])
    assert distillation_loss(answers, answers, 2.0) == pytest.approx(0, abs=1e-6)
    assert distillation_loss(-answers, answers, 2.0) > 1

    asked: list[torch.Tensor] = []

    def says_red(pixels: torch.Tensor) -> torch.Tensor:
        asked.append(pixels)
        return torch.tensor([-5.0, 5.0]).repeat(len(pixels), 1)

    trainer = make_trainer(replace(RECIPE, distillation=1.0), teacher=says_red)
    before = copy.deepcopy(trainer.network.state_dict())
    finish(trainer)
    assert not torch.equal(before["head.fc.bias"], trainer.network.state_dict()["head.fc.bias"])
    assert asked[0].dtype == torch.uint8
    assert evaluate(trainer.network, two_colours(), PREPROCESSING).top1 == 50, "all are red"


def test_an_image_with_a_window_of_another_one_is_learnt_as_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of each: the loss is the same whatever the labels say, and least where both are even."""

    def half(pixels: torch.Tensor, _draws: torch.Tensor, _share: float) -> tuple[torch.Tensor, ...]:
        return pixels, torch.full((len(pixels),), 0.5)

    monkeypatch.setattr("models.training.trainer.paste_windows", half)
    trainer = make_trainer(replace(RECIPE, cutmix=1.0))
    trainer.forward = lambda inputs: torch.zeros(len(inputs), 2, requires_grad=True)
    trainer._train_step(torch.tensor([0, 2, 1, 3]))  # blue beside red, mirrored
    assert trainer._sums[0].item() == pytest.approx(math.log(2))
    certain = torch.tensor([[9.0, -9.0]]).repeat(4, 1).requires_grad_()
    trainer.forward = lambda _: certain
    trainer._sums.zero_()
    trainer._train_step(torch.tensor([0, 2, 1, 3]))
    assert trainer._sums[0].item() == pytest.approx(9.0, abs=1e-3)


def test_noise_needs_binary_layers() -> None:
    network = MeliusNet(Spec("float", (1,), (), stem="small", binary=False), 2)
    with pytest.raises(RecipeError, match="expected a binary network for --noise"):
        Trainer(network, two_colours(), None, replace(RECIPE, noise=0.1), PREPROCESSING)


def test_batch_norms_of_an_average_are_those_of_maps_without_noise() -> None:
    trainer = make_trainer(replace(RECIPE, epochs=1, ema=0.5, noise=5.0))
    finish(trainer)
    found = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer._take_average()
    assert_equal(found, trainer.network.state_dict())


def test_smoothed_labels_and_stored_answers_make_one_target() -> None:
    """Cross-entropy is linear in what is wanted."""
    recipe = replace(RECIPE, label_smoothing=0.2, distillation=0.25)
    answers = torch.rand(64, 2, generator=torch.Generator().manual_seed(0))
    trainer = make_trainer(recipe, targets=answers)
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(1))
    trainer.forward = lambda _: logits.clone().requires_grad_()
    index = torch.arange(4)
    trainer._train_step(index)
    labelled = F.cross_entropy(logits, trainer.train.labels[index], label_smoothing=0.2)
    taught = F.cross_entropy(logits, answers[index])
    expected = 0.75 * labelled + 0.25 * taught
    assert trainer._sums[0].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_average_of_the_weights_ends_a_training() -> None:
    ends = []
    for ema in (0.0, 0.5):
        trainer = make_trainer(replace(RECIPE, epochs=2, ema=ema, freeze=1))
        trainer.run_epoch()
        halfway = deepcopy(trainer.network.state_dict())
        ends.append((halfway, finish(trainer)))
    (halfway, plain), (averaged_halfway, averaged) = ends
    assert_equal(halfway, averaged_halfway)
    differs = {name for name in plain if not torch.equal(plain[name], averaged[name])}
    assert {name.split(".")[0] for name in differs} == {"stages", "transitions", "head"}
    assert any(name.endswith("conv.weight") for name in differs)
    assert any(name.endswith("running_mean") for name in differs)
    assert evaluate(trainer.network, two_colours(), PREPROCESSING).top1 == 100


@pytest.mark.parametrize("kernels", [False, True])
def test_noise_is_for_training_alone_and_another_one_in_each_process(
    monkeypatch: pytest.MonkeyPatch, kernels: bool
) -> None:
    monkeypatch.setattr(Processes, "wrap", lambda _, network: network)
    losses = []
    for noise, processes in ((0.0, Processes()), (0.5, Processes()), (0.5, Processes(1, 2))):
        recipe, execution = replace(RECIPE, noise=noise), Execution(kernels=kernels)
        trainer = make_trainer(recipe, processes=processes, execution=execution)
        before = trainer.network.eval()(torch.zeros(1, 3, SIDE, SIDE))
        assert torch.equal(trainer.network(torch.zeros(1, 3, SIDE, SIDE)), before)
        trainer.network.train()
        index = torch.arange(4).repeat_interleave(processes.count)  # the same share of images
        trainer._train_step(index)
        losses.append(trainer._sums[0].item())
    assert len(set(losses)) == 3


@pytest.mark.parametrize("kernels", [False, True])
def test_frozen_layer_groups_stay_as_they_begin(kernels: bool) -> None:
    recipe = replace(RECIPE, epochs=1, freeze=3)
    trainer = make_trainer(recipe, execution=Execution(kernels=kernels))
    before = deepcopy(trainer.network.state_dict())
    after = finish(trainer)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(("stages.1.", "head.")) for name in changed)


def test_balance_draws_small_classes_more_often() -> None:
    trainer = make_trainer(replace(RECIPE, balance=1.0))
    few = two_colours(64).select(torch.tensor([*range(0, 64, 2), 1, 3]))  # 32 blue, 2 red
    trainer.train = few
    share = few.labels[trainer._draw_order(0)].float().mean().item()
    assert 0.25 < share < 0.75
    assert torch.equal(trainer._draw_order(0), trainer._draw_order(0))
    assert not torch.equal(trainer._draw_order(0), trainer._draw_order(1))


def test_a_batch_has_as_many_crops_of_an_image_as_asked() -> None:
    order = make_trainer(replace(RECIPE, crops=2))._draw_order(0)
    assert len(order) == 64
    assert torch.equal(order[::2], order[1::2])
    assert len(order.unique()) == 32


def test_the_share_of_other_images_is_as_asked() -> None:
    network = make_trainer().network
    images = replace(two_colours(1280), classes=("blue", OTHER))
    trainer = Trainer(network, images, None, replace(RECIPE, other_share=0.1), PREPROCESSING)
    share = images.labels[trainer._draw_order(0)].float().mean().item()
    assert share == pytest.approx(0.1, abs=0.03)


def test_a_share_of_other_images_needs_some() -> None:
    network = make_trainer().network
    images = replace(two_colours(64), classes=("blue", OTHER))
    recipe = replace(RECIPE, other_share=0.1)
    for without in (two_colours(64), images.select(images.labels == 0)):
        with pytest.raises(RecipeError, match=r"--other-share; found none\. Leave it out"):
            Trainer(network, without, None, recipe, PREPROCESSING)


def test_stored_answers_teach() -> None:
    """Answers that contradict the labels win where the labels count for nothing."""
    images = two_colours(64)
    opposite = torch.eye(2)[1 - images.labels]
    trainer = make_trainer(replace(RECIPE, epochs=6, distillation=1.0), targets=opposite)
    finish(trainer)
    accuracy = evaluate(trainer.network, two_colours(8), PREPROCESSING)
    assert accuracy.top1 < 50
