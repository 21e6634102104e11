"""Figures of a report as runtime.bench makes them, with every section."""

from typing import Any

TIMES = {"median_ms": 2.0, "p10_ms": 1.0, "p90_ms": 3.0, "fastest_ms": 1.0, "runs": 3}
MACHINE = {
    "cpu": "CPU of a test", "system": "x", "cores": 2, "cores_allowed": 2,
    "implementation": "avx2", "python": "3", "packages": {"numpy": "2"},
}  # fmt: skip


def peer_row(network: str, engine: str, precision: str) -> dict[str, Any]:
    known = {"network": network, "engine": engine, "precision": precision, "version": "1"}
    return {**known, **TIMES}


def all_figures() -> dict[str, Any]:
    layer = {"layer": "4x4x32", "macs": 10**6} | {
        who: {"counting": TIMES} for who in ("ours", "openvino")
    }
    networks = [
        peer_row("meliusnetc", "native/avx2", "binary"),
        peer_row("mobilenet_v1_0.5", "onnxruntime", "fp32"),
        peer_row("mobilenet_v1_0.5", "openvino", "int8"),
        peer_row("meliusnet22, larq's variant", "native/avx2", "binary"),
        peer_row("meliusnet22, larq's variant", "larq, default", "binary"),
    ]
    setting = {"batch": 1, "threads": 1}
    popcount = {"counting": {"share": 0.5, **TIMES}}
    sliced = {"counting": {"share": 1.5, "adder_share": 0.6, **TIMES}}
    shape = {"channels": 32, "height": 4, "width": 4, "macs": 8 * 10**9, "chosen": "sliced"}
    engine = {"name": "native", "implementation": "avx2", "model_bytes": 2**20, **TIMES}
    return {
        "machine": MACHINE,
        "settings": {"threads": 1, "batch": 1, "runs": 3, "cpus": []},
        "limits": [{"name": "loop", "operation": "binary MAC", "median_g": 2.0}],
        "kernels": [
            {"kernel": "float convolution", "shape": "s", "share": 0.5, "rate_g": 9.0},
            {"kernel": "8-bit convolution", "shape": "s", "share": 0.3, "rate_g": 9.0},
            {"kernel": "popcount convolution", "shape": "s", "share": 0.4, "rate_g": 9.0},
            {
                **{"kernel": "sliced convolution", "shape": "s", "rate_g": 9.0},
                **{"share": 1.5, "adder_share": 0.7},
            },
            {"kernel": "compare and pack floats", "shape": "s", "share": None, "rate_g": 9.0},
        ],
        "layers": {
            "network": "n",
            "layers": [shape | {"families": {"popcount": popcount, "sliced": sliced}}],
        },
        "networks": [
            {
                "network": "n",
                "input": [3, 4, 4],
                "trained": False,
                "parts": [
                    {"name": "stem", "kind": "float", "chosen_ms": 1.0, "popcount_ms": 1.0}
                    | {"phases_ms": {"count": 0.0, "pool": 0.0, "multiply": 0.75}}
                    | {"rate_g": 50.0, "share": 0.8},
                    {"name": "stage1", "kind": "binary", "chosen_ms": 1.0, "popcount_ms": 2.0}
                    | {"phases_ms": {"count": 0.25, "pool": 0.0, "multiply": 0.0}}
                    | {"rate_g": 2000.0, "share": 1.3},
                ],
                "throughput": {
                    "rows": [{"name": "threads 1, batch 1", "image_ms": 2.0, "speed": 1.0}],
                    "not_measured": {},
                },
            }
        ],
        "engines": [
            {"network": "n", "input": [3, 4, 4], "trained": True, "engines": [engine], **setting}
        ],
        "peers": {"layers": {"rows": [layer]}, "networks": {"rows": networks, **setting}},
    }
