"""models.records.figures: as the files of before had them, and no more than was measured."""

import json

from models.records.figures import Accuracy, Adaptation, EpochMetrics, FinalAccuracy, Temperature
from models.records.typed_json import as_json, parse_json
from runtime import Preprocessing


def test_metrics_that_were_not_measured_are_not_written() -> None:
    metrics = EpochMetrics(epoch=1, loss=0.5, train_top1=50.0, learning_rate=0.1, seconds=2.0)
    assert as_json(metrics) == {
        **{"epoch": 1, "loss": 0.5, "train_top1": 50.0, "learning_rate": 0.1, "seconds": 2.0}
    }


def test_a_network_without_binary_activations_has_no_share_of_them() -> None:
    final = FinalAccuracy(
        **{"split": "test", "top1": 1.0, "top5": 2.0, "loss": 3.0, "images": 4},  # type: ignore[arg-type]
        calibration_error=5.0,
    )
    content = as_json(final)
    assert content["positive_share"] is None
    assert "calibration_error_with_temperature" not in content


def test_a_temperature_says_only_if_it_was_not_fitted() -> None:
    """Records of before had no word for it: all of theirs were fitted."""
    for value, content in (
        (Temperature(1.5, 60), {"temperature": 1.5, "images": 60}),
        (Temperature(1.0, 4, fitted=False), {"temperature": 1.0, "images": 4, "fitted": False}),
    ):
        assert as_json(value) == content
        text = json.dumps(content)
        assert parse_json(Temperature, text, where="", expected="", remedy="") == value


def test_the_preprocessing_of_the_training_is_called_from() -> None:
    adaptation = Adaptation(
        trained_as=Preprocessing(16, 16, "area", (0.0,) * 3, (1.0,) * 3),
        train_images=3,
        validation=Accuracy(1.0, 2.0, 3.0, 4),
        device="a CPU",
        threads=1,
        torch="2",
        commit=None,
        version=None,
    )
    content = as_json(adaptation)
    assert content["from"]["crop"] == 16
    assert content["validation"] == {"top1": 1.0, "top5": 2.0, "loss": 3.0, "images": 4}
