"""models.evaluation.metrics: known answers; a temperature that mends what was stretched."""

from pathlib import Path

import pytest
import torch
from torch import nn

from models.data.decoded import LabelledImages
from models.data.preprocessing import whole_preprocessing
from models.evaluation.metrics import (
    calibration_error,
    count_confusion,
    evaluate,
    fit_temperature,
    measure,
    measure_classes,
    predict_logits,
    watch_activations,
    write_confusion,
)
from models.networks.binary import BinaryActivation
from models.networks.meliusnet import MeliusNet, use_kernels
from models.networks.specs import Spec

LOGITS = torch.tensor([[3.0, 1, 2, 0, 0, 0], [0, 5, 1, 2, 3, 4], [1, 1, 0, 0, 0, 0]])


def test_top1_and_top5_count_hits() -> None:
    figures = measure(LOGITS, torch.tensor([0, 0, 1]))
    assert figures.top1 == pytest.approx(33.33)
    assert figures.top5 == pytest.approx(66.67)
    assert figures.images == 3


def test_of_equal_logits_the_lower_index_is_the_answer() -> None:
    assert measure(torch.zeros(1, 9), torch.tensor([0])).top1 == 100
    assert measure(torch.zeros(1, 9), torch.tensor([4])).top5 == 100
    assert measure(torch.zeros(1, 9), torch.tensor([5])).top5 == 0


def test_classes_count_alike_in_their_mean() -> None:
    logits = torch.eye(4)[[0, 0, 0, 1, 3, 3]]
    assert measure_classes(logits, torch.tensor([0, 0, 0, 1, 1, 3])) == pytest.approx(83.33)
    assert measure_classes(torch.zeros(2, 3), torch.tensor([0, 1])) == 50


def test_confusion_has_a_row_per_true_class() -> None:
    matrix = count_confusion(LOGITS, torch.tensor([0, 0, 5]))
    assert matrix.shape == (6, 6)
    assert matrix[0].tolist() == [1, 1, 0, 0, 0, 0]
    assert matrix[5].tolist() == [1, 0, 0, 0, 0, 0]
    assert matrix.sum() == 3


def drawn(temperature: float, count: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels drawn from softmax(logits), and the logits stretched by a temperature."""
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(count, 5, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
    return logits * temperature, labels


def test_calibration_error_of_known_scores() -> None:
    logits = torch.tensor([[0.8, 0.2]]).log().repeat(10, 1)
    labels = torch.tensor([0] * 6 + [1] * 4)
    assert calibration_error(logits, labels) == pytest.approx(20)
    assert calibration_error(torch.tensor([[200.0, 0]]), torch.tensor([0])) == 0


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_fitted_temperature_is_the_one_that_stretched(temperature: float) -> None:
    logits, labels = drawn(temperature)
    fitted = fit_temperature(logits, labels)
    assert fitted == pytest.approx(temperature, rel=0.1)
    assert calibration_error(logits, labels, fitted) < 3
    if temperature != 1:
        assert calibration_error(logits, labels) > 8


def test_temperature_stays_within_bounds() -> None:
    timid = torch.tensor([[0.01, 0]]).repeat(1000, 1)
    assert fit_temperature(timid, torch.zeros(1000, dtype=torch.long)) == pytest.approx(0.05)
    assert fit_temperature(torch.tensor([[1.0, 0]]), torch.tensor([1])) == pytest.approx(20)


def test_a_few_right_answers_do_not_make_certain() -> None:
    logits = torch.tensor([[4.0, 0, 0]]).repeat(6, 1)
    temperature = fit_temperature(logits, torch.zeros(6, dtype=torch.long))
    score = (logits[0] / temperature).softmax(0)[0].item()
    assert score == pytest.approx(6 / 7 + 1 / 7 / 3, abs=1e-3)


def test_confusion_is_written_with_names(tmp_path: Path) -> None:
    write_confusion(tmp_path / "c.csv", LOGITS, torch.tensor([0, 0, 5]), list("abcdef"))
    rows = (tmp_path / "c.csv").read_text().splitlines()
    assert rows[0].endswith("a,b,c,d,e,f")
    assert rows[1] == "a,1,1,0,0,0,0"
    assert len(rows) == 7


def test_networks_are_measured_in_eval_mode_in_batches() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(1.0), torch.nn.Linear(12, 2))
    pixels = torch.arange(60, dtype=torch.uint8).view(5, 3, 2, 2)
    images = LabelledImages(pixels, torch.tensor([0, 1, 0, 1, 0]), ("a", "b"))
    spec = whole_preprocessing(2)
    network.train()
    figures = evaluate(network, images, spec, batch=2)
    assert not network.training
    with torch.no_grad():
        logits = predict_logits(network, images, spec)
    assert figures == measure(logits, images.labels)


def test_positive_share_counts_binary_activations() -> None:
    layers = BinaryActivation(2), BinaryActivation(2)
    network = nn.Sequential(layers[0], nn.Identity(), layers[1]).eval()
    x = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1)
    with watch_activations(network) as share:
        assert share() is None
        network(x)
        assert share() == 0.5
        layers[1].bn.bias.data.fill_(2.0)  # all of the second are +1 then
        network(x)
        assert share() == 0.625
    network(x)
    assert share() == 0.625  # after the block nothing is counted


def test_positive_shares_are_the_same_by_kernels() -> None:
    network = MeliusNet(Spec("tiny", (1,), (), stem="small"), 2).eval()
    shares = []
    for wanted in (False, True):
        use_kernels(network, wanted)
        with watch_activations(network) as share:
            network(torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
            shares.append(share())
    assert shares[0] == pytest.approx(shares[1])
    assert shares[0] is not None


def test_float_networks_have_no_positive_share() -> None:
    network = nn.Linear(2, 2)
    with watch_activations(network) as share:
        network(torch.zeros(1, 2))
        assert share() is None
