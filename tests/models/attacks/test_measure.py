"""models.attacks.measure: right images are chosen, weak attacks are stamped, files are answered."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.attacks import measure
from models.attacks.gradients import run_pgd
from models.attacks.measure import Images, Measurement, choose_images, find_labels
from models.attacks.target import Target, open_target
from models.attacks.threat import Threat
from models.data.datasets import open_data_set
from models.data.decoded import LabelledImages
from models.errors import DataError
from models.records.attack import OWN, WHITE
from tests.models.small_networks import Masked, write_close_colours, write_small_bundle

Opened = tuple[Target, Images]


@pytest.fixture
def by_own_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own loop in the place of ART's attacks by gradients, which may not be installed."""
    monkeypatch.setattr(
        measure,
        "run_by_gradients",
        lambda name, *arguments: run_pgd(*arguments, goes_on=True),
    )


def run(opened: Opened, threat: Threat, target: Target | None = None, **more: float):
    measurement = Measurement(target or opened[0], opened[1], threat)
    return measurement.run(["noise", "pgd"], noise_defence=more.get("noise_defence"))


def failed(outcome: measure.Outcome) -> list[str]:
    return [check.name for check in outcome.checks if not check.passed]


@pytest.mark.usefixtures("by_own_loop")
def test_a_strong_attack_passes_and_its_figures_fall(opened: Opened) -> None:
    outcome = run(opened, Threat((1.0, 4.0, 16.0), steps=10))
    assert failed(outcome) == []
    stays = {(r.attack, r.eps): r.stays.percent for r in outcome.results}
    assert {name for name, _ in stays} == {"noise", OWN, "pgd", WHITE}
    assert stays[WHITE, 1.0] > stays[WHITE, 4.0] > stays[WHITE, 16.0] == 0
    assert stays["noise", 4.0] > 90
    for result in outcome.results:
        assert result.file == result.rounded
        assert result.stays.images == len(opened[1].pixels)


@pytest.mark.usefixtures("by_own_loop")
def test_less_than_a_level_cannot_survive_as_a_file(opened: Opened) -> None:
    outcome = run(opened, Threat((0.9,), steps=10))
    assert all(result.file.percent == 100 for result in outcome.results)


@pytest.mark.usefixtures("by_own_loop")
@pytest.mark.parametrize("changes", [{"step_size": 0.0}, {"steps": 1, "step_size": 0.3}])
def test_a_weakened_attack_is_stamped(opened: Opened, changes: dict[str, float]) -> None:
    outcome = run(opened, replace(Threat((1.0, 4.0), steps=10), **changes))
    assert "at eps 64 at most 1 % stay right" in failed(outcome)


@pytest.mark.usefixtures("by_own_loop")
def test_too_few_steps_are_stamped(opened: Opened) -> None:
    outcome = run(opened, Threat((4.0,), steps=2, step_size=2.0))
    assert "twice the steps change at most 2 points" in failed(outcome)


@pytest.mark.usefixtures("by_own_loop")
def test_masked_gradients_are_stamped(opened: Opened) -> None:
    outcome = run(opened, Threat((4.0,), steps=10), replace(opened[0], network=Masked()))
    assert "at eps 64 at most 1 % stay right" in failed(outcome)


def test_a_defence_alone_is_measured_with_our_own_attack(opened: Opened) -> None:
    measurement = Measurement(*opened, Threat((4.0,), steps=5, draws=2))
    outcome = measurement.run(["noise"], noise_defence=5.0)
    assert [result.attack for result in outcome.results] == ["noise", OWN]
    assert outcome.defence is not None
    (score,) = outcome.defence.scores
    assert score.failed >= 0


def test_transfer_attacks_the_surrogate(opened: Opened) -> None:
    target = opened[0]
    outcome = Measurement(*opened, Threat((16.0,), steps=5)).run(["transfer"], target.network)
    assert [(r.attack, r.stays.percent) for r in outcome.results] == [("transfer", 0)]


def test_what_fooled_all_at_a_smaller_eps_is_taken_again(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def count(name: str, network: object, pixels: object, goal: object, eps: float, threat: object):
        asked.append(eps)
        return run_pgd(network, pixels, goal, eps, threat)

    monkeypatch.setattr(measure, "run_by_gradients", count)
    run(opened, Threat((16.0, 32.0), steps=10))
    assert asked == [16.0]


def test_images_are_chosen_by_seed_and_right(opened: Opened, tmp_path: Path) -> None:
    data = open_data_set(write_close_colours(tmp_path / "data"), needs_train=False)
    assert data.test is not None
    with open_target(write_small_bundle(tmp_path / "small")) as target:
        first, again, other = (
            choose_images(target, data.test, data.labels, 52, seed) for seed in (1, 1, 2)
        )
        assert torch.equal(first.pixels, again.pixels)
        assert not torch.equal(first.pixels, other.pixels)
        assert len(first.pixels) == 52
        assert torch.equal(target.score(first.pixels).argmax(1), first.labels)
        assert first.clean.images == len(first.shown.labels) >= 52


def test_fewer_than_50_right_images_are_refused(opened: Opened, tmp_path: Path) -> None:
    data = open_data_set(write_close_colours(tmp_path / "data", 49), needs_train=False)
    assert data.test is not None
    with pytest.raises(DataError, match=r"expected at least 50 images .* found \d+ of 49"):
        choose_images(opened[0], data.test, data.labels, 500, 1)


def test_data_of_other_classes_is_refused(opened: Opened) -> None:
    pixels = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    images = LabelledImages(pixels, torch.tensor([0]), ("green",))
    with pytest.raises(DataError, match=r"it lacks green"):
        find_labels(opened[0], images, ("green",))
    grouped = replace(opened[0], grouped=True)
    with pytest.raises(DataError, match=r"expected data of the kinds blue, red.*found green"):
        find_labels(grouped, images, ("green",))
    known = LabelledImages(pixels, torch.tensor([0]), ("red",))
    assert find_labels(grouped, known, ("red",)).tolist() == [1]
