"""models.training.batch_norms: statistics of given images, and of no frozen layer."""

import torch

from models.data.augmentation import normalize
from models.data.decoded import LabelledImages
from models.data.preprocessing import evaluation_preprocessing
from models.networks.meliusnet import MeliusNet
from models.networks.registry import build_network
from models.networks.specs import Spec
from models.training.batch_norms import IMAGES, choose_images, estimate_batch_norms


def make_images(count: int) -> LabelledImages:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=generator).to(torch.uint8)
    return LabelledImages(pixels, torch.zeros(count, dtype=torch.long), ("a", "b"))


def test_batches_count_alike_and_networks_without_binary_layers_do() -> None:
    network = build_network("mobilenet_v1_0.25", 2)
    spec = evaluation_preprocessing(32)
    images = make_images(101)
    first = next(m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d))
    seen: list[torch.Tensor] = []
    hook = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    estimate_batch_norms(network, images, spec)
    hook.remove()
    assert [len(batch) for batch in seen] == [51, 50]
    assert first.running_mean is not None
    assert first.running_var is not None
    means = torch.stack([batch.mean((0, 2, 3)) for batch in seen]).mean(0)
    variances = torch.stack([batch.var((0, 2, 3)) for batch in seen]).mean(0)
    assert torch.allclose(first.running_mean, means, atol=1e-4)
    assert torch.allclose(first.running_var, variances, rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        assert network(normalize(images.pixels[:2], spec)).isfinite().all()


def test_frozen_layers_and_momenta_stay() -> None:
    network = MeliusNet(Spec("tiny", (1, 1), (64,), stem="small"), 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    estimate_batch_norms(
        network, make_images(7), evaluation_preprocessing(32), [network.stem, network.stages[0]]
    )
    changed = {
        name for name, value in network.state_dict().items() if (value != before[name]).any()
    }
    assert changed
    assert not any(name.startswith(("stem.", "stages.0.")) for name in changed)
    assert all("running" in name or "num_batches" in name for name in changed)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}


def test_chosen_images_are_different_ones_in_order() -> None:
    assert choose_images(5).tolist() == [0, 1, 2, 3, 4]
    chosen = choose_images(10 * IMAGES)
    assert len(chosen) == IMAGES
    assert (chosen.diff() > 0).all()
    assert torch.equal(chosen, choose_images(10 * IMAGES))
