"""service.commands.sample_image: always the same small JPEG, which both models take for what it
is.
"""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from runtime import load_engine
from service.classification.classifier import Classifier
from service.commands.sample_image import HEIGHT, WIDTH, draw_sample_image
from service.settings.settings import Settings

ROOT = Path(__file__).parents[3]


def test_is_a_small_jpeg_and_always_the_same() -> None:
    content = draw_sample_image()
    assert content == draw_sample_image()
    assert len(content) < 40_000
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("JPEG", (WIDTH, HEIGHT))


@pytest.mark.parametrize(("bundle", "engine"), [("default", "native"), ("default", "onnx")])
def test_the_default_model_sees_a_flower(bundle: str, engine: str) -> None:
    settings = Settings(bundle=ROOT / "service" / "bundles" / bundle)
    classifier = Classifier(load_engine(settings.bundle, engine, 1), settings.image_limits)
    logits, _ = classifier.infer(classifier.prepare(draw_sample_image()).tensor[None], 1)
    best, _ = classifier.rank(logits[0], 2)
    assert best.label == "flower"
    assert best.score > 0.9


def test_the_command_writes_it_into_a_pipe() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "service", "sample-image"], cwd=ROOT, capture_output=True, check=True
    )
    assert answer.stdout == draw_sample_image()
    assert answer.stderr == b""
