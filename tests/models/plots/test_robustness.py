"""models.plots.robustness: a panel for each attack, a line for each network."""

from pathlib import Path

from models.plots.robustness import Curve, write_robustness
from tests.models.attack_records import make_share


def test_lines_panels_and_names_are_drawn_the_same_each_time(tmp_path: Path) -> None:
    falling = {0.5: make_share(90), 1.0: make_share(40), 8.0: make_share(0)}
    curves = [
        Curve("binary one", True, {"white box": falling, "noise": falling}),
        Curve("float $one", False, {"white box": falling}),  # not attacked by noise
    ]
    texts = []
    for name in ("a.svg", "b.svg"):
        write_robustness(curves, ["white box", "noise"], tmp_path / name)
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]
    for text in ("Stay right: white box", "Stay right: noise", "binary one", "float $one", "0.5"):
        assert text in texts[0]
