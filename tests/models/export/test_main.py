"""models.export: the command line, and what it says of mistakes."""

from pathlib import Path

import pytest
import torch

from models.export.__main__ import main
from runtime import read_bundle


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["meliusnet22", "--checkpoint", "CHECKPOINT"],
            "expected a checkpoint of meliusnet22; found one of meliusnet13",
        ),
        (
            ["meliusnet13", "--checkpoint", "CHECKPOINT", "--num-classes", "9"],
            "expected --num-classes 2, as the checkpoint has; found 9",
        ),
        (
            ["meliusnet13", "--checkpoint", "CHECKPOINT", "--image-size", "9"],
            "expected --image-size 16, as the checkpoint has; found 9",
        ),
        (["meliusnet13", "--checkpoint", "none.pt"], "none.pt"),
        (["meliusnet13", "--checkpoint", "CHECKPOINT"], "has done 3 of 4 epochs"),
        (["meliusnet13", "--num-classes", "2", "--out", "PHOTOS"], "found other files there"),
        (["meliusnet13", "--calibration", "PHOTOS"], "are for --float-parts int8; found float32"),
        (["meliusnet13", "--float-parts", "int8", "--calibration", "PHOTOS"], "expected train/"),
        (
            ["meliusnet13", "--float-parts", "int8", "--evaluation", "PHOTOS"],
            "expected test/ or val/ in it",
        ),
        (["mobilenet_v1_0.25_small", "--float-parts", "int8"], "network with binary layers"),
    ],
)
def test_mistakes_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    from models.networks.registry import build_network

    checkpoint = tmp_path / "checkpoint.pt"
    preprocessing = {"resize": 16, "crop": 16, "interpolation": "bilinear"}
    preprocessing |= {"mean": (0, 0, 0), "std": (1, 1, 1)}  # type: ignore[dict-item]
    torch.save(
        {
            "network": "meliusnet13",
            "classes": ["a", "b"],
            "preprocessing": preprocessing,
            "state": {
                "model": build_network("meliusnet13", 2).state_dict(),
                "epoch": 3,
                "recipe": {"epochs": 4},
            },
        },
        checkpoint,
    )
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    places = {"CHECKPOINT": str(checkpoint), "PHOTOS": str(tmp_path / "photos")}
    arguments = [places.get(a, a) for a in arguments]
    out = [] if "--out" in arguments else ["--out", str(tmp_path / "out")]
    assert main([*arguments, *out]) == 2
    assert message in capsys.readouterr().err


def test_networks_for_measuring_do_without_stored_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    options = ["meliusnet13", "--num-classes", "4", "--image-size", "16", "--no-self-test"]
    assert main([*options, "--out", str(out)]) == 0
    assert "self_test.safetensors" not in read_bundle(out).manifest.files
    capsys.readouterr()
    assert main([*options, "--checkpoint", "c.pt", "--out", str(tmp_path / "no")]) == 2
    assert "expected --no-self-test without --checkpoint, found both" in capsys.readouterr().err
