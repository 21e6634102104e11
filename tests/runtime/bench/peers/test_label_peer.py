"""The peer from bytes to label: its logits are those of our reader at full size and our engine."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from runtime.bench.end_to_end import make_photo
from runtime.bench.peers.label_peer import open_peer
from runtime.bundle import ONNX_GRAPH, read_bundle
from runtime.engines.engine import load_engine
from runtime.engines.onnx_sessions import saturates
from runtime.image_reader import ImageReader


def test_logits_are_those_of_the_reader(repository: Path, tmp_path: Path) -> None:
    bundle = read_bundle(repository / "service" / "bundles" / "mobilenet_v1")
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(make_photo(150, 100))
    facts, calls = open_peer(
        {
            "model": str(bundle.path / ONNX_GRAPH),
            "preprocessing": asdict(bundle.manifest.preprocessing),
            "photos": {"one": str(photo)},
            "saturates": saturates(),
        }
    )
    assert "Pillow" in facts["version"]
    full_size = replace(bundle.manifest.preprocessing, reduce=None)  # as Pillow alone decodes
    tensor = ImageReader(full_size).read_tensor(photo.read_bytes())
    expected = load_engine(bundle, "onnx").predict(tensor[None])
    np.testing.assert_allclose(facts["answers"]["one"], expected, atol=1e-3)
    assert set(calls["one"]()) == {"whole", "cpu"}
