"""models.training.linear_probe: features of a network told apart by one linear layer."""

from dataclasses import replace

import pytest
import torch

from models.data.decoded import LabelledImages
from models.evaluation.metrics import evaluate
from models.networks.registry import Network, build_network
from models.training.linear_probe import _two_views, find_last_layer, fit_last_layer, take_enough
from runtime.images import Preprocessing

SPEC = Preprocessing(18, 16, "bilinear", (127,) * 3, (64,) * 3)


def make_images(count: int = 24, seed: int = 0, side: int = 18) -> LabelledImages:
    """Noise that is darker or lighter, in three classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    noise = torch.randint(0, 60, (count, 3, side, side), generator=generator)
    return LabelledImages((noise + 70 * labels.view(-1, 1, 1, 1)).byte(), labels, ("a", "b", "c"))


@pytest.fixture(params=["meliusnet13", "mobilenet_v1_0.25_small"])
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(0)
    return build_network(request.param, 3)


def test_classes_are_told_apart_and_nothing_else_changes(network: Network) -> None:
    last = {id(p) for p in find_last_layer(network).parameters()}
    before = {n: t.clone() for n, t in network.state_dict().items()}
    fit_last_layer(network, make_images(), SPEC)
    unseen = make_images(seed=1, side=16)
    assert evaluate(network, unseen, SPEC).top1 > 90
    changed = {n for n, t in network.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {n for n, p in network.named_parameters() if id(p) in last}


def test_it_is_the_same_every_time(network: Network) -> None:
    fit_last_layer(network, make_images(), SPEC)
    first = find_last_layer(network).weight.clone()
    find_last_layer(network).weight.data.normal_()
    fit_last_layer(network, make_images(), SPEC)
    assert torch.equal(find_last_layer(network).weight, first)


def test_of_many_images_evenly_spaced_ones_are_enough() -> None:
    few = make_images()
    assert take_enough(few) is few
    labels = torch.arange(3).repeat_interleave(7000)
    many = LabelledImages(torch.zeros(21_000, 1, 1, 1), labels, ("a", "b", "c"))
    counts = torch.bincount(take_enough(many).labels).tolist()
    assert sum(counts) == 5000
    assert max(counts) - min(counts) <= 2


def test_margin_is_not_seen(network: Network) -> None:
    images, spec = make_images(side=20), replace(SPEC, resize=20)
    fit_last_layer(network, images, spec)
    first = find_last_layer(network).weight.clone()
    images.pixels[..., :2] = 0
    images.pixels[..., 18:, :] = 255
    fit_last_layer(network, images, spec)
    assert torch.equal(find_last_layer(network).weight, first)


def test_images_kept_larger_are_seen_at_the_scale_that_is_served() -> None:
    ramp = torch.linspace(0, 255, 72).byte().expand(1, 3, 72, 72).contiguous()
    centre, mirrored = _two_views(LabelledImages(ramp, torch.tensor([0]), ("a", "b")), SPEC)
    assert centre.pixels.shape == (1, 3, 16, 16)
    assert centre.pixels.min() < 30
    assert centre.pixels.max() > 225
    assert torch.equal(mirrored.pixels, centre.pixels.flip(3))


def test_features_that_never_change_are_no_trouble(network: Network) -> None:
    images = make_images()
    same = LabelledImages(torch.zeros_like(images.pixels), images.labels, images.classes)
    fit_last_layer(network, same, SPEC)
    assert torch.isfinite(find_last_layer(network).weight).all()
