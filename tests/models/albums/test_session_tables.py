"""models.albums.session_tables: tables of records about sessions."""

from pathlib import Path

import numpy as np
import pytest

from models.albums.session_figures import (
    measure_scale,
    measure_simulated,
    measure_strangers,
    measure_videos,
)
from models.albums.session_tables import MARKS, WAYS, make_page_table, write_block
from models.albums.simulation import REGIMES
from models.errors import DataError
from tests.models.albums.albums import LABELS, make_scores
from tests.models.albums.test_session_figures import make


def test_the_table_has_the_figures_of_its_records(rng: np.random.Generator) -> None:
    record = {
        "bundle": "mine",
        "network": "net",
        **measure_simulated(make(rng), make(rng), LABELS, 2, 1),
    }
    record["videos"] = measure_videos(make(rng), make(rng, 9), list("aaabbbccc"), LABELS, 1)
    truth, scores = np.concatenate([rng.integers(0, 5, 40), [5] * 10]), make_scores(rng, 50, 6)
    record["strangers"] = measure_strangers(lambda _: scores, truth, LABELS, 2, 1)
    scale = {**measure_scale(40, 1), "device": "this one"}
    page = make_page_table([record, scale])
    assert "`mine`, 90% pure, of 4, 10 of 50 photos" in page
    assert page.splitlines()[-1].startswith("Reasoning about 40 photos in sessions of 4, 22 kinds:")
    lines = page.splitlines()
    assert lines[0].startswith("| `mine` (net) | alone | mean of logits | chain |")
    assert lines.index("") == 2 + len(REGIMES) + 1
    cells = lines[2].strip("| ").split(" | ")
    figures = record["regimes"]["pure, of 3"]
    for cell, way in zip(cells[1:], WAYS, strict=True):
        assert cell.startswith(f"{100 * figures[way]['top1']['mean']:.1f}")
        assert f"/ {figures[way]['nll']['mean']:.2f} /" in cell
        assert cell.endswith(f"/ {100 * figures[way]['ece']['mean']:.1f} %")
    assert lines[2 + len(REGIMES)].startswith("| 3 videos, 9 frames |")


def test_a_page_without_marks_is_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n{MARKS[0]}\n")
    with pytest.raises(DataError, match="found a page without them"):
        write_block(page, "a table")
    assert page.read_text() == f"# A page\n{MARKS[0]}\n"
