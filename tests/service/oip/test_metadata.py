"""service.oip.metadata: what clients are told of the service and its models."""

from service.oip.metadata import describe_config, describe_index, describe_model, describe_server
from tests.service.oip.bodies import make_model


def test_server_names_what_is_there_beyond_the_protocol() -> None:
    assert describe_server("1.2.3") == {
        "name": "bnn-service",
        "version": "1.2.3",
        "extensions": [
            *("binary_tensor_data", "classification", "model_configuration", "statistics")
        ],
    }


def test_metadata_of_a_model_of_tensors() -> None:
    scores, logits = ({"datatype": "FP32", "shape": [-1, 3]} for _ in range(2))
    assert describe_model(make_model()) == {
        "name": "tiny",
        "versions": ["1"],
        "platform": "bnn_native",
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 3, 32, 32]}],
        "outputs": [{"name": "scores", **scores}, {"name": "logits", **logits}],
    }


def test_metadata_of_a_model_of_files() -> None:
    inputs = describe_model(make_model(takes_files=True))["inputs"]
    assert inputs == [{"name": "image_bytes", "datatype": "BYTES", "shape": [-1, 1]}]


def test_configuration_has_dims_without_the_images() -> None:
    config = describe_config(make_model(), 16)
    assert config["max_batch_size"] == 16
    assert config["input"] == [{"name": "input", "data_type": "TYPE_FP32", "dims": [3, 32, 32]}]
    assert [output["dims"] for output in config["output"]] == [[3], [3]]
    assert config["parameters"]["trained"] == {"string_value": "true"}
    assert config["parameters"]["labels"] == {"string_value": "red\ngreen\nblue"}
    files = describe_config(make_model(takes_files=True), 16)
    assert files["input"] == [{"name": "image_bytes", "data_type": "TYPE_STRING", "dims": [1]}]


def test_index() -> None:
    models = [make_model(), make_model(takes_files=True)]
    assert describe_index(models) == [
        {"name": name, "version": "1", "state": "READY", "reason": ""}
        for name in ("tiny", "tiny_image")
    ]
