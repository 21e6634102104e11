"""models.report.comparisons: runs side by side, in the report that they stand in."""

import json
import shutil
from pathlib import Path
from typing import Any

from tests.models.recorded_runs import report, write_run


def read_content(path: Path) -> Any:
    return json.loads(path.read_text())


def test_claim_takes_the_float_network_nearest_in_size(runs: Path) -> None:
    text = report(runs)
    assert "MiB) reaches 81.0 % (80.0 to 82.0, 2 seeds) in " in text
    assert "the MobileNet-v1 nearest in size, reaches 85.0 % in " in text
    assert " ms. The difference is -4.0 points. " in text


def change(runs: Path, name: str, **changes: object) -> None:
    """Writes a run's record anew, with other fields."""
    path = runs / name / "record.json"
    path.write_text(json.dumps({**read_content(path), **changes}))


def test_claim_is_about_the_best_on_validation_images(runs: Path) -> None:
    (epoch,) = read_content(runs / "melius-shift" / "record.json")["epochs"]
    change(runs, "melius-shift", epochs=[epoch | {"validation_top1": 79.0}])
    text = report(runs)
    assert "pixels. meliusnet13, shift +0.1 (" in text
    assert " Of several runs the best on the validation images is shown." in text


def test_claim_is_about_runs_tested_on_the_same_images(runs: Path) -> None:
    data = read_content(runs / "mobile-small" / "record.json")["data"]
    others = data | {"parts": {"test": {"images": 20, "sha256": "cd34"}}}
    change(runs, "mobile-small", data=others)
    text = report(runs)
    assert "mobilenet_v1 (" in text.partition("**The claim** ")[2].splitlines()[0]
    assert "groups with the same ones: dense, float, " in text
    assert "; mobile-small." in text
    change(runs, "mobile-large", data=others)
    assert "**The claim** at " not in report(runs)


def test_claim_is_about_runs_that_see_as_many_pixels(runs: Path) -> None:
    for name, pixels in (("mobile-small", 64), ("mobile-large", 48)):
        preprocessing = read_content(runs / name / "record.json")["preprocessing"]
        assert "**The claim** at " in report(runs)
        change(runs, name, preprocessing=preprocessing | {"crop": pixels, "resize": pixels})
    text = report(runs)
    assert "**The claim** at " not in text
    assert "| mobilenet_v1_0.25_small | 64x64 | 85.0 |" in text


def test_there_is_a_claim_for_each_size_of_images(runs: Path) -> None:
    for name in ("mobile-large", "melius-shift"):
        preprocessing = read_content(runs / name / "record.json")["preprocessing"]
        change(runs, name, preprocessing=preprocessing | {"crop": 64, "resize": 64})
    first, second = (line for line in report(runs).splitlines() if "**The claim**" in line)
    assert first.startswith("**The claim** at 64x64 pixels. meliusnet13, shift +0.1 (")
    assert "mobilenet_v1 (" in first
    assert "mobilenet_v1_0.25_small (" in second


def test_pairs_differ_in_one_thing(runs: Path) -> None:
    lines = report(runs).splitlines()
    of = "meliusnet13, 1 epochs | 80.0"  # of the seed that both have
    assert f"| without improvement blocks | {of} | 75.5 | -4.5 | +0.0 |" in lines
    assert f"| float weights and activations | {of} | 98.0 | +18.0 | +0.0 |" in lines
    assert f"| distilled | {of} | 83.5 | +3.5 | +0.0 |" in lines


def test_pairs_of_other_seeds_are_compared_by_their_means(runs: Path) -> None:
    dense = read_content(runs / "dense" / "record.json")
    recipe = dense["recipe"] | {"seed": 77}
    shutil.rmtree(runs / "dense")
    write_run(runs / "dense", {**dense, "recipe": recipe}, [[1, 0], [0, 1]])
    of = "meliusnet13, 1 epochs | 81.0 (80.0 to 82.0, 2 seeds)"
    row = f"| without improvement blocks | {of} | 75.5 | -5.5 | +0.0 |"
    assert row in report(runs).splitlines()


def test_every_teacher_has_a_row(runs: Path) -> None:
    taught = read_content(runs / "taught" / "record.json")
    test = taught["test"] | {"top1": 60.5}
    write_run(runs / "other", {**taught, "teacher": "another", "test": test}, [[1, 0], [0, 1]])
    rows = [line for line in report(runs).splitlines() if line.startswith("| distilled |")]
    of = "| distilled | meliusnet13, 1 epochs | 80.0 |"
    assert sorted(rows) == [f"{of} 60.5 | -19.5 | +0.0 |", f"{of} 83.5 | +3.5 | +0.0 |"]


def test_shifts_are_swept(runs: Path) -> None:
    text = report(runs)
    assert "### Threshold shift of meliusnet13" in text
    assert "| +0.1 | 70.0 | 78.0 | 62.5% |" in text
    both = "81.0 (80.0 to 82.0, 2 seeds) | 78.0 (78.0 to 78.0, 2 seeds)"
    assert f"| +0 | {both} | not measured |" in text
