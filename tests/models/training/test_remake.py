"""models.training.remake: batch norms of a network that was changed after its training."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.data.augmentation import normalize
from models.data.datasets import open_data_set
from models.data.decoded import LabelledImages, decode_images
from models.data.preprocessing import evaluation_preprocessing
from models.errors import CheckpointMismatch
from models.networks.registry import build_network
from models.training.checkpoint import build_trained, read_checkpoint
from models.training.remake import check_finished, estimate_batch_norms
from models.training.run import run_training
from tests.models.images import write_two_colours
from tests.models.jobs import RECIPE, make_job


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_two_colours(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Path:
    recipe = replace(RECIPE, epochs=1)
    run_training(make_job(data, tmp_path / "run", recipe=recipe, resize=18))
    return tmp_path / "run"


def test_the_first_batch_norm_has_the_mean_of_what_it_sees(run: Path, data: Path) -> None:
    content = read_checkpoint(run / "checkpoint.pt")
    spec = evaluation_preprocessing(32)
    images = decode_images(open_data_set(data).train, spec)
    network = build_trained(content)
    seen: list[torch.Tensor] = []
    name, first = next(
        (name, m) for name, m in network.named_modules() if isinstance(m, torch.nn.BatchNorm2d)
    )
    hook = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    estimate_batch_norms(network, images, spec)
    hook.remove()
    assert not network.training
    every = torch.cat(seen)
    assert len(every) == len(images)
    assert first.running_mean is not None
    assert torch.allclose(first.running_mean, every.mean((0, 2, 3)), atol=1e-4), name


def test_batches_count_alike_and_networks_without_binary_layers_do() -> None:
    network = build_network("mobilenet_v1_0.25", 2)
    spec = evaluation_preprocessing(32)
    pixels = torch.randint(0, 256, (101, 3, 32, 32), dtype=torch.uint8)
    images = LabelledImages(pixels, torch.zeros(101, dtype=torch.long), ("a", "b"))
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
        assert network(normalize(pixels[:2], spec)).isfinite().all()


def test_a_network_of_other_classes_than_the_data_has_is_refused(run: Path, data: Path) -> None:
    """As students of the teachers' classes are: the data cannot measure them."""
    content = read_checkpoint(run / "checkpoint.pt")
    other = replace(content, data=replace(content.data, classes=("tench", "goldfish", "crane")))
    with pytest.raises(CheckpointMismatch, match="expected a network of the data's own classes"):
        check_finished(other, open_data_set(data))
    check_finished(content, open_data_set(data))
