"""The peers' network gives the labels and scores of the service, or a comparison would be void."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from loadtests.clients.images import generate_jpegs
from loadtests.peers.network import Network, NoNetwork, open_network
from runtime import Bundle, ImageLimits, ImageReader, Known, load_engine, read_bundle
from runtime.bundle import write_bundle
from service.classification.classifier import Classifier

SIZES = [(73, 73), (512, 384), (200, 333), (64, 64)]


def check_answers(bundle: Bundle, peer: Network, size: tuple[int, int], tolerance: float) -> None:
    """The peer's answers to two images are the service's."""
    ours = Classifier(load_engine(bundle, "onnx"), ImageLimits())
    for image in generate_jpegs(5, 2, size):
        logits, _ = ours.infer(ours.prepare(image.data).tensor[None], 1)
        (best,) = ours.rank(logits[0], 1)
        answer = peer.classify(image.data)
        assert answer["label"] == best.label
        assert answer["score"] == pytest.approx(best.score, abs=tolerance)


@pytest.mark.parametrize("size", SIZES)
def test_answers_are_the_service_s(repository: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    found = read_bundle(repository / "service" / "bundles" / "mobilenet_v1")
    spec = replace(found.manifest.preprocessing, reduce=None)
    files = {name: found.path / name for name in found.manifest.files}
    exact = write_bundle(tmp_path / "b", replace(found.manifest, preprocessing=spec), files)
    check_answers(exact, Network(exact.path), size, 1e-5)
    # With `reduce` the service resizes and crops in one step, to parts of pixels.
    check_answers(found, Network(found.path), size, 0.05)


@pytest.mark.parametrize(
    ("side", "left"), [(575, 575), (576, 288), (1151, 576), (1152, 288), (2304, 288)]
)
def test_jpegs_are_decoded_at_the_scale_of_the_service(
    repository: Path, side: int, left: int
) -> None:
    bundle = repository / "service" / "bundles" / "mobilenet_v1"  # at least 288 pixels are left
    data = io.BytesIO()
    Image.new("RGB", (side + 100, side)).save(data, "JPEG")
    image = Image.open(data)
    Network(bundle).infer(image)
    assert image.size[1] == left
    plan = ImageReader(read_bundle(bundle).manifest.preprocessing).plan(data.getvalue())
    assert -(-side // plan.scale) == left


def test_a_logit_of_none_of_the_labels_is_no_answer(repository: Path, tmp_path: Path) -> None:
    found = read_bundle(repository / "service" / "bundles" / "mobilenet_v1")
    files = {name: found.path / name for name in found.manifest.files}
    (image,) = generate_jpegs(5, 1, (80, 80))
    known = Known("other", slope=1.0, offset=0.0, threshold=0.5)
    labels = found.manifest.labels[:-1]
    bundle = write_bundle(
        tmp_path / "b", replace(found.manifest, labels=labels, known=known), files
    )
    peer = Network(bundle.path)
    logits = peer.infer(Image.open(io.BytesIO(image.data)))
    assert logits.shape == (len(labels),)
    assert peer.classify(image.data)["label"] in labels


def test_network_is_named_by_the_environment(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEER_BUNDLE", str(repository / "service" / "bundles" / "mobilenet_v1"))
    monkeypatch.setenv("PEER_THREADS", "2")
    (image,) = generate_jpegs(5, 1, (80, 80))
    assert 0 < open_network().classify(image.data)["score"] <= 1


def test_without_a_model_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEER_BUNDLE", "/nowhere")
    monkeypatch.setenv("PEER_MODEL", "none")
    assert isinstance(open_network(), NoNetwork)
