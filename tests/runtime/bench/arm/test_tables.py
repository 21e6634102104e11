"""The tables: ours beside LiteRT by modelled cycles, and the words that say what these are."""

from runtime.bench.arm.tables import make_tables, name_functions
from tests.runtime.bench.arm.figures import make_figures, make_row


def test_ours_stand_beside_their_peers() -> None:
    lines = make_tables(make_figures()).splitlines()
    found = [line for line in lines if line.startswith("| Raspberry Pi")]
    assert found[:4] == [
        "| Raspberry Pi 4 | meliusnetc | `neon` | 10.0 | 8.0 | mobilenet_v1_0.5 | 10.0 | "
        "4.0: 0.50x | 10.0 | 2.0: 0.25x |",
        "| Raspberry Pi 4 | meliusnetc, 8-bit layers | `neon` | 10.0 | 16.0 | mobilenet_v1_0.5 | "
        "10.0 | 4.0: 0.25x | 10.0 | 2.0: 0.12x |",
        "| Raspberry Pi 5 | meliusnetc | `neon` | 10.0 | 8.0 | mobilenet_v1_0.5 | not measured | "
        "not measured | 10.0 | 2.0: 0.25x |",
        "| Raspberry Pi 5 | meliusnetc, 8-bit layers | `neon` | 10.0 | 16.0 | mobilenet_v1_0.5 | "
        "not measured | not measured | 10.0 | 2.0: 0.12x |",
    ]
    assert found[4] == "| Raspberry Pi 4 | meliusnetc | 60% | 20% | `sum_group` 99% |"
    assert len(found) == 8


def test_what_the_figures_are_not_is_said() -> None:
    text = make_tables(make_figures())
    assert text.startswith("**Emulated and modelled, not measured.** Raspberry Pi 4: emulated as ")
    for phrase in (
        "Raspberry Pi 5: emulated as cortex-a76, modelled as neoverse-n1",
        "QEMU 7.2.22",
        "LLVM 19.1.7",
        "GCC 12.2.0",
        "ai-edge-litert 2.3.0",
        "no cache misses, no wrong predictions, no memory and no clock: read ratios, never times",
        "Not measured: Raspberry Pi 5, mobilenet_v1_0.5: litert fp32: because.",
    ):
        assert phrase in text


def test_parts_have_a_table_of_their_own() -> None:
    figures = make_figures()
    part = make_row("pi4", "stem", "native", "binary", 3e6)
    figures["rows"][3]["parts"] = [{**part, "name": "stem"}]
    assert make_tables(figures).splitlines()[-1] == (
        "| Raspberry Pi 4 | meliusnetc | stem | 10.0 | 3.0 | `sum_group` 99% |"
    )


def test_small_functions_are_left_out() -> None:
    row = make_row("pi4", "n", "native", "binary", 100)
    row["functions"][1]["cycles"] = 2
    assert name_functions(row) == "`sum_group` 99%, `python3.11` 2%"
    row["functions"][1]["cycles"] = 1.9
    assert name_functions(row) == "`sum_group` 99%"
