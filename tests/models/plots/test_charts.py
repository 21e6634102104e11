"""models.plots.charts: the same figures give the same file, which names neither day nor version."""

from pathlib import Path
from xml.etree import ElementTree

import matplotlib

from models.plots.charts import make_panels, save_chart


def test_the_same_figures_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        figure, (first, second) = make_panels(2, 1.5, 0.5)
        first.plot([1, 2], [3, 4], label="$5 < <6>")
        first.legend()
        second.errorbar(1, 2, yerr=[[1], [1]])
        save_chart(figure, tmp_path / name)
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert matplotlib.__version__ not in text
    assert "<dc:date>" not in text
    texts = [item.text for item in ElementTree.fromstring(text).iter() if item.tag.endswith("text")]
    assert "$5 < <6>" in texts, "as a text, and no formula"
