"""The Markdown tables of a report: in a new file, or between the marks of a document."""

from pathlib import Path

import pytest

from runtime.bench.markdown import make_marks, make_tables, split_at_marks, write_markdown
from runtime.errors import RuntimeFault
from tests.runtime.bench.figures import MACHINE, all_figures


def test_every_section_has_its_table() -> None:
    text = "\n\n".join(make_tables(all_figures()))
    for line in (
        "CPU of a test (x), kernels `avx2`, threads 1, batch 1, medians of 3 runs, everything "
        "compared in turns. Python 3, numpy 2.",
        "| meliusnetc: 2.00 | mobilenet_v1_0.5 | 2.00: 1.00x | not measured | not measured | "
        "not measured | not measured | not measured | 2.00: 1.00x | not measured |",
        "| larq, default | 2.00 | 1.0 |",
        "| n, 4x4 | ms | times as fast as eager | peak MiB | model MiB |",
        "| `native/avx2` | 2.00 |  |  | 1.00 |",
        "| n, 4x4, untrained | chosen kernels, ms | popcount kernels, ms | count | multiply | "
        "G MAC/s | of limit |",
        "| stem | 1.000 | 1.000 |  | 0.750 | 50 | 80% |",
        "| stage1 | 1.000 | 2.000 | 0.250 |  | 2000 | 130% |",
        "| threads 1, batch 1 | 2.00 | 1.00 |",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize("section", ["engines", "networks", "peers"])
def test_sections_are_written_alone(section: str) -> None:
    figures = all_figures()
    alone = {key: figures[key] for key in ("machine", "settings", section)}
    assert len(make_tables(alone)) > 1


def test_nothing_measured_leaves_the_machine() -> None:
    figures = {key: all_figures()[key] for key in ("machine", "settings")}
    assert len(make_tables(figures)) == 1


def test_new_file_holds_the_tables(tmp_path: Path) -> None:
    write_markdown(all_figures(), tmp_path / "new.md")
    assert (tmp_path / "new.md").read_text().startswith(MACHINE["cpu"])


def test_only_what_is_between_the_marks_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    begin, end = make_marks("bench avx2")
    other = "\n".join(make_marks("bench"))
    page.write_text(f"# Title\n{other}\n\n{begin}\nold\n{end}\n\nThe end.\n")
    for _ in range(2):  # a second time finds the marks again
        write_markdown(all_figures(), page, "bench avx2")
        text = page.read_text()
        assert text.startswith(f"# Title\n{other}\n\n{begin}\n\n{MACHINE['cpu']}")
        assert text.endswith(f"\n\n{end}\n\nThe end.\n")
        assert "old" not in text


def test_figures_that_scatter_are_called_provisional() -> None:
    figures = all_figures()
    assert "**Provisional**" not in make_tables(figures)[0]
    figures["engines"][0]["engines"][0] |= {"p90_ms": 4.0}
    assert "**Provisional**: of 1 of 6 rows" in make_tables(figures)[0]


def test_kernels_that_were_forced_are_told() -> None:
    figures = all_figures()
    figures["machine"] = {**MACHINE, "forced": True}
    assert "kernels `avx2` (forced), threads 1" in make_tables(figures)[0]


def test_file_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("precious\n")
    with pytest.raises(RuntimeFault, match="found a file without them"):
        write_markdown(all_figures(), page)
    assert page.read_text() == "precious\n"


@pytest.mark.parametrize("block", ["bench", "bench avx2"])
def test_page_of_the_benchmark_has_its_marks(repository: Path, block: str) -> None:
    folder = repository / "runtime" / "bench"
    assert split_at_marks(folder / "README.md", block) is not None
    assert block == "bench" or f"--block '{block}'" in (folder / "measure.mk").read_text()
