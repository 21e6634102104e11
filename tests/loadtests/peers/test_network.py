"""The peers' network gives the labels and scores of the service, or a comparison would be void."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.clients.images import generate_jpegs
from loadtests.peers.network import Network, NoNetwork, open_network
from runtime import Bundle, ImageLimits, load_engine, read_bundle
from service.classification.classifier import Classifier

SIZES = [(73, 73), (512, 384), (200, 333), (64, 64)]


@pytest.mark.parametrize("size", SIZES)
def test_answers_are_the_service_s(repository: Path, size: tuple[int, int]) -> None:
    bundle = repository / "service" / "bundles" / "mobilenet_v1"
    peer = Network(bundle)
    found = read_bundle(bundle)
    spec = replace(found.manifest.preprocessing, reduce=None)  # peers decode at full size
    full_size = Bundle(found.path, replace(found.manifest, preprocessing=spec))
    ours = Classifier(load_engine(full_size, "onnx"), ImageLimits())
    for image in generate_jpegs(5, 2, size):
        logits, _ = ours.infer(ours.prepare(image.data).tensor[None], 1)
        (best,) = ours.rank(logits[0], 1)
        answer = peer.classify(image.data)
        assert answer["label"] == best.label
        assert answer["score"] == pytest.approx(best.score, abs=1e-5)


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
