"""Figures of an emulated run, as small as they can be."""

from typing import Any

INSTRUCTIONS = {"vector": 6_000_000, "vector_memory": 2_000_000, "scalar": 2_000_000}


def make_row(
    board: str, network: str, engine: str, precision: str, cycles: float
) -> dict[str, Any]:
    """Ten million instructions, in these cycles."""
    functions = [
        {"name": "sum_group", "instructions": 9_000_000, "cycles": 0.99 * cycles},
        {"name": "python3.11", "instructions": 900_000, "cycles": 0.01 * cycles},
    ]
    instructions = {**INSTRUCTIONS, "all": sum(INSTRUCTIONS.values())}
    found = {"instructions": instructions, "cycles": cycles, "functions": functions}
    facts = {"board": board, "network": network, "engine": engine, "precision": precision}
    version = "neon" if engine == "native" else "ai-edge-litert 2.3.0"
    return {**facts, "version": version, "modelled_share": 0.99, **found, "parts": []}


def make_figures() -> dict[str, Any]:
    """One pair on both boards; on the newer one LiteRT's float32 network is missing."""
    rows = []
    for board in ("pi5", "pi4"):
        rows += [
            make_row(board, "meliusnetc", "native", "binary", 8e6),
            make_row(board, "meliusnetc, 8-bit layers", "native", "binary", 16e6),
            make_row(board, "mobilenet_v1_0.5", "litert", "int8", 2e6),
        ]
    rows.append(make_row("pi4", "mobilenet_v1_0.5", "litert", "fp32", 4e6))
    return {
        "tools": {"qemu": "7.2.22", "llvm": "19.1.7", "gcc": "12.2.0"},
        "boards": {
            "pi4": {"core": "cortex-a72", "model": "cortex-a72"},
            "pi5": {"core": "cortex-a76", "model": "neoverse-n1"},
        },
        "size": 224,
        "rows": rows,
        "not_measured": {"Raspberry Pi 5, mobilenet_v1_0.5: litert fp32": "because"},
    }
