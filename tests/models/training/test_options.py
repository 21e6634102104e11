"""models.training.options: options, configuration files, the recipes of the repository."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from models.errors import RecipeError
from models.networks.registry import NAMES
from models.report.runs import read_runs
from models.training.options import make_job, make_parser, parse_arguments, read_config
from models.training.recipe import Recipe
from runtime.errors import TorchUnavailable
from tests.models.images import write_two_colours


def test_unbalanced_thresholds_start_at_the_shift(tmp_path: Path) -> None:
    from models.networks.registry import build_network

    network = build_network("meliusnet13", 2, shift=0.25)
    offsets = [b for n, b in network.named_parameters() if n.endswith("activation.bn.bias")]
    assert len(offsets) == 16
    assert all((offset == -0.25).all() for offset in offsets)


def test_twins_are_switches(tmp_path: Path) -> None:
    write_two_colours(tmp_path)
    given = ["meliusnet13", "--data", str(tmp_path), "--out", "x"]
    assert make_job(parse_arguments(given)).changes == {}
    job = make_job(parse_arguments([*given, "--no-improvement", "--no-binary"]))
    assert job.changes == {"improvement": False, "binary": False}
    usual = ["--improvement", "--binary", "--stem", "small", "--shift", "0"]
    assert make_job(parse_arguments([*given, *usual])).changes == {}


def test_each_field_of_the_recipe_is_an_option(tmp_path: Path) -> None:
    write_two_colours(tmp_path)
    parser = make_parser()
    for field in fields(Recipe):
        assert f"--{field.name.replace('_', '-')}" in parser.format_help()
    given = ["meliusnet13", "--data", str(tmp_path), "--out", "x"]
    assert make_job(parse_arguments(given)).recipe == Recipe()
    job = make_job(parse_arguments([*given, "--mixed-precision", "--warmup-epochs", "2.5"]))
    assert job.recipe == Recipe(mixed_precision=True, warmup_epochs=2.5)


def test_options_override_the_configuration(tmp_path: Path) -> None:
    write_two_colours(tmp_path / "data")
    config = tmp_path / "run.toml"
    config.write_text(
        f'network = "meliusnet13"\ndata = "{tmp_path / "data"}"\nout = "run"\nepochs = 7\n'
        "mixed_precision = true\nchannels-last = true\nshift = 0.1\nquiet = true\n"
    )
    job = make_job(parse_arguments(["--config", str(config)]))
    assert (job.network, job.recipe.epochs, job.recipe.mixed_precision) == ("meliusnet13", 7, True)
    assert job.execution.channels_last
    assert not job.progress
    options = ["--epochs", "3", "--no-mixed-precision", "meliusnet22"]
    job = make_job(parse_arguments(["--config", str(config), *options]))
    assert (job.network, job.recipe.epochs, job.recipe.mixed_precision) == ("meliusnet22", 3, False)
    assert job.changes == {"shift": 0.1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "expected a TOML file"),
        ("[recipe]\nepochs = 3", "expected one value for recipe"),
        ("epoch = 3", r"run\.toml: unrecognized arguments: --epoch=3"),
        ("epochs = 'many'", "invalid int value: 'many'"),
        ("config = 'other.toml'", r"run\.toml: expected options of a training, found config"),
        ("help = true", "expected options of a training, found help"),
    ],
)
def test_mistakes_in_a_configuration_name_the_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        parse_arguments(["--config", str(tmp_path / "run.toml")])


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"found .*No such file"):
        read_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("threads", "-1", "at least 1; found -1"),
        ("threads", "0", "at least 1; found 0"),
        ("workers", "-1", "at least 1; found -1"),
        ("workers", "0", "at least 1; found 0"),
        ("measure-every", "0", "at least 1 epoch; found 0"),
        ("measure-every", "-1", "at least 1 epoch; found -1"),
        ("checkpoint-minutes", "nan", "a finite number of at least 0; found nan"),
        ("checkpoint-minutes", "-1", "a finite number of at least 0; found -1"),
        ("shift", "nan", "a finite number; found nan"),
        ("stored-side", "5000", "from 1 to 4096 pixels; found 5000"),
        ("image-size", "4", "of at least 15 for meliusnet13; found 4"),
        ("image-size", "0", "from 1 to 4096 pixels"),
    ],
)
def test_senseless_numbers_are_refused(
    tmp_path: Path, option: str, value: str, expected: str
) -> None:
    write_two_colours(tmp_path)
    given = ["meliusnet13", "--data", str(tmp_path), "--out", "x", f"--{option}", value]
    with pytest.raises(RecipeError, match=f"expected --{option} {expected}"):
        make_job(parse_arguments(given))


def test_every_recipe_of_the_repository_is_one(repository: Path) -> None:
    recipes = sorted((repository / "models" / "recipes").glob("*.toml"))
    assert recipes
    for path in recipes:
        args = parse_arguments(["--config", str(path), "--data", "x"])
        assert args.network in NAMES, path
        assert args.start is None or (repository / args.start).is_file(), path
    path = repository / "models" / "recipes" / "published.toml"
    published = parse_arguments(["--config", str(path)])
    assert all(
        getattr(published, f.name) in (None, getattr(Recipe(), f.name)) for f in fields(Recipe)
    )


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("tiny", "meliusnet13-tiny"),
        ("tiny-baseline", "mobilenet025-tiny"),
        ("photos20", "meliusnet13-photos20"),
        ("photos20-baseline", "mobilenet025-photos20-adam"),
        ("photos20-160", "meliusnet22-photos20-160"),
        ("photos20-160-baseline", "mobilenet05-photos20-160"),
        ("colors", "meliusnet13-everyday-colors"),
        ("bees", "meliusnet13-everyday-bees"),
        ("default64", "meliusnet13-everyday-default"),
        ("sharp", "meliusnet13-everyday-sharp"),
        ("small", "meliusnet13-everyday-photos"),
        ("even", "meliusnet13-everyday-even"),
        ("everyday-baseline", "mobilenet025-everyday"),
        ("default-128", "meliusnet24-everyday-taught"),
        ("default-again", "meliusnet24-everyday-again"),
        ("default-mixed", "meliusnet24-everyday-mixed"),
        ("default-further", "meliusnet24-everyday-further"),
        ("imagenet", "meliusnet24-imagenet"),
        ("baseline", "mobilenet075-imagenet"),
        ("baseline-128", "mobilenet075-everyday-taught"),
    ],
)
def test_recipes_are_those_of_the_runs_in_the_report(name: str, of: str, repository: Path) -> None:
    path = repository / "models" / "recipes" / f"{name}.toml"
    args = parse_arguments(["--config", str(path), "--data", "x"])
    (known,) = [r for r in read_runs(repository / "models" / "runs") if r.name == of]
    given = {f.name: getattr(args, f.name) for f in fields(Recipe)}
    recipe = Recipe(**{key: value for key, value in given.items() if value is not None})
    assert recipe == known.recipe
    changes = {key: getattr(args, key) for key in ("stem", "shift", "improvement", "binary")}
    assert {k: v for k, v in changes.items() if v is not None} == known.record.changes
    sides = known.trained_as
    assert (args.network, args.image_size) == (known.network, sides.crop)
    assert (args.resize or args.image_size) == sides.resize


def test_kernels_compute_wherever_they_can(tmp_path: Path) -> None:
    write_two_colours(tmp_path)
    given = ["meliusnet13", "--data", str(tmp_path), "--out", "x", "--device", "cpu"]
    execution = make_job(parse_arguments(given)).execution
    assert execution.kernels
    assert execution.channels_last
    other = make_job(parse_arguments([*given, "--no-channels-last"])).execution
    assert other.kernels
    assert not other.channels_last
    assert not make_job(parse_arguments([*given, "--no-kernels"])).execution.kernels


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["meliusnet13", "--mixed-precision"], "--mixed-precision"),
        (["meliusnet13", "--compile"], "--compile"),
        (["meliusnet13", "--no-binary"], "--no-binary"),
        (["mobilenet_v1_0.25"], "the network mobilenet_v1_0.25"),
    ],
)
def test_where_they_cannot_torch_computes(
    tmp_path: Path, options: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.training.options.find_python_header", lambda: Path(__file__))
    write_two_colours(tmp_path)
    given = [*options, "--data", str(tmp_path), "--out", "x", "--device", "cpu"]
    assert not make_job(parse_arguments(given)).execution.kernels
    with pytest.raises(RecipeError, match=f"expected --kernels .*; found {name}. Change"):
        make_job(parse_arguments([*given, "--kernels"]))


def test_kernels_that_are_not_there_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise TorchUnavailable("no operators here")

    monkeypatch.setattr("models.training.options.load_kernels", fail)
    write_two_colours(tmp_path)
    given = ["meliusnet13", "--data", str(tmp_path), "--out", "x", "--device", "cpu"]
    assert not make_job(parse_arguments(given)).execution.kernels
    assert "without the runtime's kernels, which train faster: no operators" in (
        capsys.readouterr().err
    )
    with pytest.raises(TorchUnavailable, match="no operators here"):
        make_job(parse_arguments([*given, "--kernels"]))


def test_noise_is_not_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.training.options.find_python_header", lambda: Path(__file__))
    write_two_colours(tmp_path)
    given = ["meliusnet13", "--data", str(tmp_path), "--out", "x", "--noise", "0.2", "--compile"]
    with pytest.raises(RecipeError, match="expected --noise without --compile"):
        make_job(parse_arguments(given))


def test_commands_import_where_the_build_left_the_operators_out(tmp_path: Path) -> None:
    code = (
        "from runtime.kernels import library\n"
        "from runtime.errors import NativeUnavailable\n"
        "find = library.find_file\n"
        "def hide(name):\n"
        "    if 'torch' in name:\n"
        "        raise NativeUnavailable('none here')\n"
        "    return find(name)\n"
        "library.find_file = hide\n"
        "from models.training.options import make_job, parse_arguments\n"
        f"given = ['meliusnet13', '--data', {str(tmp_path)!r}, '--out', 'x', '--device', 'cpu']\n"
        "print(make_job(parse_arguments(given)).execution.kernels)\n"
    )
    write_two_colours(tmp_path)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout == "False\n", found.stderr
    assert "models.train: without the runtime's kernels, which train faster: " in found.stderr
