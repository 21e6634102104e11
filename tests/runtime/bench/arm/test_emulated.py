"""What runs on the emulated board, run here: answers, marks, and the parts that run together."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.bench.arm import emulated
from runtime.bench.arm.emulated import ENDS, MARK, WHOLE, Sections, find_units, main
from runtime.engines.engine import load_engine
from runtime.measurement.inputs import make_images
from tests.runtime.bundles import make_bundle

KINDS = st.sampled_from(["stem", "stage", "transition", "head"])


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the marks that were set."""
    found: list[int] = []
    monkeypatch.setattr(emulated, "set_mark", found.append)
    return found


@given(st.lists(KINDS, min_size=1))
def test_units_are_stages_with_their_transitions(kinds: list[str]) -> None:
    units = find_units(kinds)
    assert [kind for unit in units for kind in kinds[unit]] == kinds
    for unit in units:
        found = kinds[unit]
        assert len(found) == 1 or set(found) == {"stage", "transition"}
    ends = [unit.stop for unit in units]
    assert not [i for i in ends[:-1] if (kinds[i - 1], kinds[i]) == ("stage", "transition")]


def test_a_mark_is_a_process_number_that_no_system_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    emulated.set_mark(7)
    found = []
    monkeypatch.setattr(os, "getpgid", lambda number: found.append(number) or 1)
    with pytest.raises(AssertionError, match="expected no process"):
        emulated.set_mark(7)
    assert found == [MARK + 7]


def test_each_call_runs_once_for_itself_and_once_between_marks(marks: list[int]) -> None:
    done: list[str] = []
    sections = Sections()
    sections.run("a", lambda: done.append(f"a{len(marks)}"))
    sections.run("b", lambda: done.append(f"b{len(marks)}"))
    assert done == ["a0", "a1", "b2", "b3"]
    assert marks == [0, 1, 2, 3]
    assert sections.names == ["a", ENDS, "b", ENDS]


@pytest.mark.parametrize("parts", [False, True])
def test_the_native_engine_answers(parts: bool, marks: list[int], tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", graphs=False)
    options = {"engine": "native", "model": str(bundle.path), "parts": parts}
    assert main([json.dumps({**options, "out": str(tmp_path)})]) == 0
    facts = json.loads((tmp_path / "facts.json").read_text())
    names = [WHOLE] + ["stem", "stage1, transition1", "stage2", "head"] * parts
    assert [name for name in facts["sections"] if name != ENDS] == names
    assert marks == list(range(2 * len(names)))
    assert len(facts["sections"]) == len(marks) - 1
    logits = load_engine(bundle, "native", 1).predict(make_images(bundle, 1))
    assert (np.load(tmp_path / "answer.npy") == logits).all()
    assert "python" in (tmp_path / "maps").read_text()


def test_litert_answers_by_its_peer(
    marks: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from runtime.bench.peers import litert_peer

    calls: list[dict[str, object]] = []

    def open_peer(options: dict[str, object]) -> object:
        calls.append(options)
        return {"version": "litert 1", "answer": [[1, 2]]}, {"predict": lambda: None}

    monkeypatch.setattr(litert_peer, "open_peer", open_peer)
    options = {"engine": "litert", "model": "m.tflite", "parts": True, "out": str(tmp_path)}
    assert main([json.dumps(options)]) == 0
    assert calls == [{"model": "m.tflite", "threads": 1, "batch": 1}]
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts == {"version": "litert 1", "sections": [WHOLE]}
    assert np.load(tmp_path / "answer.npy").tolist() == [[1, 2]]
