"""The tables of what is compared with peers."""

from runtime.bench.mobile_graphs import SPECS
from runtime.bench.peer_tables import tabulate_end_to_end, tabulate_modern, tabulate_pairs
from tests.runtime.bench.figures import MACHINE, TIMES, all_figures, peer_row


def test_forced_kernels_are_compared_with_peers_that_were_limited_too() -> None:
    figures = all_figures()
    figures["machine"] = {**MACHINE, "forced": True}
    text, table = tabulate_pairs(figures)
    row = table.splitlines()[2]
    assert row.startswith("| meliusnetc: 2.00 | mobilenet_v1_0.5 | 2.00 | not measured |")
    assert "| 2.00: 1.00x |" in row  # OpenVINO int8
    assert "cannot be kept from this CPU's other instructions" in text


def test_networks_of_today_stand_beside_ours() -> None:
    first = next(iter(SPECS))
    rows = [
        {**peer_row("meliusnet59", "native/avx2", "binary"), "among": first},
        {**peer_row(first, "litert", "fp32"), "median_ms": 1.0, "version": "LiteRT 1"},
        {**peer_row(first, "openvino", "int8"), "version": "OpenVINO 1", "instructions": ["avx2"]},
    ]
    missing = {f"{first}: ncnn int8": "why"}
    figures = {
        "machine": MACHINE,
        "peers": {"modern": {"rows": rows, "not_measured": missing}},
    }
    text, theirs, _, ours, sources = tabulate_modern(figures)
    assert "LiteRT 1, OpenVINO 1. OpenVINO's convolutions use avx2." in text
    assert "Not measured: ncnn int8: " in text
    empty = "not measured"
    cells = [first, "67.4", empty, empty, "1.00", empty, empty, empty, "2.00", empty]
    assert theirs.splitlines()[2] == f"| {' | '.join(cells)} |"
    cells = ["meliusnet59", "70.7", "2.00", "0.50x", *[empty] * (len(SPECS) - 1)]
    assert ours.splitlines()[2] == f"| {' | '.join(cells)} |"
    assert "meliusnet22: the authors' training logs; larq-zoo's replication 62.4" in sources


def test_random_weights_are_told_end_to_end() -> None:
    row = {"photo": "small", "bytes": 1500, "network": "n", "trained": False, "input": [3, 4, 4]}
    row |= {"engine": "e", "whole": TIMES, "cpu": TIMES}
    (_, table) = tabulate_end_to_end({"end_to_end": {"rows": [row]}})
    line = "| small, 2 kB | n, 4x4, random weights | e | 2.00 | 1.00 to 3.00 | 2.00 |"
    assert table.splitlines()[2] == line


def test_what_was_not_measured_has_no_table() -> None:
    figures = {"machine": MACHINE}
    for tabulate in (tabulate_pairs, tabulate_modern, tabulate_end_to_end):
        assert tabulate(figures) == []
