"""models.pretrained: weights are written where they can be."""

import json
import stat
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from models.networks.registry import build_network
from models.pretrained import main
from models.train import main as train
from models.training.checkpoint import build_trained, read_checkpoint
from models.training.initial_weights import read_start
from tests.models.images import write_two_colours

OPTIONS = ["--epochs", "1", "--image-size", "16", "--batch", "4", "--quiet", "--device", "cpu"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on two colours; the data lies beside it."""
    folder = tmp_path_factory.mktemp("pretrained")
    write_two_colours(folder / "data")
    command = ["meliusnet13", "--data", str(folder / "data"), "--out", str(folder / "run")]
    assert train([*command, *OPTIONS]) == 0
    return folder / "run"


def trained_tensors(path: Path) -> dict[str, torch.Tensor]:
    return build_trained(read_checkpoint(path)).state_dict()


def test_file_holds_the_network_and_says_what_it_is(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "weights.safetensors"
    assert main([str(run), "--out", str(out)]) == 0
    expected = trained_tensors(run / "checkpoint.pt")
    start = read_start(out)
    assert start.name.startswith("meliusnet13 on data (safetensors ")
    assert start.classes == ("blue", "red")
    assert start.tensors.keys() == expected.keys()
    for key, tensor in expected.items():
        half = tensor.dim() > 1
        assert start.tensors[key].dtype == (torch.float16 if half else tensor.dtype), key
        assert torch.allclose(start.tensors[key].to(tensor.dtype), tensor, rtol=1e-3, atol=1e-4)
    with safe_open(out, "pt") as file:
        about = json.loads(file.metadata()["about"])
    assert about["recipe"]["epochs"] == 1
    assert about["test"]["images"] == 4
    assert stat.S_IMODE(out.stat().st_mode) == stat.S_IMODE((run / "record.json").stat().st_mode)
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert out.stat().st_size < (run / "checkpoint.pt").stat().st_size / 5


@pytest.mark.parametrize("packed", [True, False])
def test_same_classes_keep_every_weight(run: Path, tmp_path: Path, packed: bool) -> None:
    start = run / "checkpoint.pt"
    if packed:
        start = tmp_path / "weights.safetensors"
        assert main([str(run), "--out", str(start)]) == 0
    network = build_network("meliusnet13", 2)
    read_start(start).begin(network, "meliusnet13", ["blue", "red"])
    expected = trained_tensors(run / "checkpoint.pt")
    for key, tensor in network.state_dict().items():
        assert torch.allclose(tensor, expected[key], rtol=1e-3, atol=1e-4), key
        if tensor.is_floating_point() and tensor.dim() > 1:
            assert torch.equal(tensor >= 0, expected[key] >= 0), key


def test_weights_are_written_where_they_can_be(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--out", str(tmp_path / "x.safetensors")]) == 2
    (tmp_path / "folder.safetensors").mkdir()
    assert main([str(run), "--out", str(tmp_path / "folder.safetensors")]) == 2
    content = torch.load(run / "checkpoint.pt", weights_only=True)
    content["state"]["epoch"] = 0
    torch.save(content, tmp_path / "part.pt")
    out = str(tmp_path / "x.safetensors")
    assert main([str(tmp_path / "part.pt"), "--out", out]) == 2
    assert "expected a finished training; found 0 of 1 epochs" in capsys.readouterr().err
    assert not Path(out).exists()
    assert main([str(tmp_path / "part.pt"), "--out", out, "--unfinished"]) == 0
    Path(out).unlink()
    assert main([str(tmp_path), "--out", str(tmp_path / "x.bin")]) == 2
    assert "expected --out FILE.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "x.safetensors").exists()
