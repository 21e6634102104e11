"""models.teachers.answers: the likeliest classes come back, the rest is spread, damage is named."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError
from models.teachers.answers import (
    CLASSES,
    KEPT,
    StoredAnswers,
    add_answers,
    keep_likeliest,
    read_answers,
    write_answers,
)


def make_answers(count: int = 3, seed: int = 0) -> tuple[np.ndarray, StoredAnswers]:
    generator = np.random.default_rng(seed)
    dense = generator.dirichlet(np.full(CLASSES, 0.02), count).astype(np.float32)
    names = [f"cat/{i}.jpg" for i in range(count)]
    return dense, keep_likeliest(names, dense, ["a teacher"])


@given(st.integers(0, 2**32 - 1))
def test_dense_answers_are_what_was_kept_and_an_even_rest(seed: int) -> None:
    dense, answers = make_answers(2, seed)
    found = answers.dense()
    assert found.shape == dense.shape
    assert np.allclose(found.sum(1), 1, atol=1e-5)
    largest = np.sort(dense, 1)[:, -KEPT:]
    assert np.allclose(np.sort(found, 1)[:, -KEPT:], largest, atol=2e-3)
    assert (found.argmax(1) == dense.argmax(1)).all()


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    _, answers = make_answers()
    write_answers(answers, tmp_path / "answers.npz")
    found = read_answers(tmp_path / "answers.npz")
    assert (found.names, found.teachers) == (answers.names, ("a teacher",))
    assert np.array_equal(found.classes, answers.classes)
    assert np.array_equal(found.probabilities, answers.probabilities)


def test_answers_are_chosen_by_name_whatever_their_order() -> None:
    _, answers = make_answers()
    chosen = answers.select(["cat/2.jpg", "cat/0.jpg"], "there")
    assert np.array_equal(chosen.classes, answers.classes[[2, 0]])
    with pytest.raises(DataError, match=r"there: expected an answer for each of 2 images; found"):
        answers.select(["cat/0.jpg", "dog/0.jpg"], "there")


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    _, answers = make_answers()
    path = tmp_path / "answers.npz"
    write_answers(answers, path)
    arrays = dict(np.load(path))
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:200])
    np.savez(tmp_path / "few.npz", **(arrays | {"classes": arrays["classes"][:2]}))
    np.savez(tmp_path / "kind.npz", **(arrays | {"names": np.arange(3)}))
    np.savez(tmp_path / "high.npz", **(arrays | {"classes": arrays["classes"] + CLASSES}))
    for name in ("none", "cut", "few", "kind", "high"):
        with pytest.raises(DataError, match=f"{name}.npz: expected"):
            read_answers(tmp_path / f"{name}.npz")


def test_images_that_show_nothing_get_answers_of_these_classes_alone() -> None:
    _, answers = make_answers()
    wanted = range(100, 200)
    more = add_answers(answers, [f"other/{i}" for i in range(200)], wanted)
    assert more.names[:3] == answers.names
    assert len(more.names) == 203
    assert np.array_equal(more.classes[:3], answers.classes)
    added = more.dense()[3:]
    assert np.allclose(added[:, 100:200].sum(1), 1, atol=1e-3)
    assert np.allclose(added.mean(0)[100:200], 0.01, atol=0.005)  # each as likely
    assert add_answers(answers, [], wanted).classes.shape == answers.classes.shape
