"""service.bulk.forms: what is written is read again, whatever the names and labels are."""

import csv
import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import Hedged
from service.bulk.forms import InvalidRecord, Kind, RowForm
from service.bulk.rows import Row, describe_failure
from service.classification.classifier import Prediction

NASTY = ('a,b "c"', "line\nend", "cr\rlf\r\n", '"', "", "=1+1", "é中\U0001f600", " blank ")
# Names as the system gives them: any bytes but NUL.
NAMES = st.sampled_from(NASTY) | st.binary(max_size=12).map(
    lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)
LABELS = st.sampled_from(NASTY) | st.text(st.characters(codec="utf-8"), max_size=8)
SCORES = st.floats(0, 1)
GOOD = st.builds(
    lambda name, labels: Row(
        name,
        tuple(Prediction(label, i, score) for i, (label, score) in enumerate(labels)),
        None,
        "m",
    ),
    NAMES,
    st.lists(st.tuples(LABELS, SCORES), min_size=2, max_size=2),
)
ROWS = st.lists(
    GOOD | st.builds(describe_failure, NAMES, st.just("unreadable"), LABELS), max_size=6
)


def write(form: RowForm, rows: list[Row]) -> bytes:
    return form.encode_header() + b"".join(map(form.encode, rows))


@given(rows=ROWS)
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_what_is_written_is_read_again(kind: Kind, rows: list[Row]) -> None:
    form = RowForm(kind, 2)
    data = write(form, rows)
    records = list(form.read_records(io.BytesIO(data)))
    assert [record.name for record in records] == [row.name for row in rows]
    assert [record.is_error for record in records] == [row.error is not None for row in rows]
    assert form.encode_header() + b"".join(record.data for record in records) == data
    assert [record.end for record in records][-1:] == [len(data)][: len(records)]


@given(rows=ROWS, data=st.data())
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_of_a_file_that_is_cut_the_whole_rows_are_read(
    kind: Kind, rows: list[Row], data: st.DataObject
) -> None:
    form = RowForm(kind, 2)
    written = write(form, rows)
    cut = data.draw(st.integers(len(form.encode_header()), len(written)))
    records = list(form.read_records(io.BytesIO(written[:cut])))
    assert [record.name for record in records] == [row.name for row in rows][: len(records)]
    end = records[-1].end if records else len(form.encode_header())
    following = form.encode(rows[len(records)]) if len(records) < len(rows) else b"x"
    assert cut - end < len(following)


UNSURE = Row("a", (Prediction("cat", 0, 0.5),), None, "m", known=0.03, notice="None of them.")


def test_what_a_model_says_of_none_of_these_is_written() -> None:
    sure = replace(UNSURE, name="b", known=0.99, notice=None)
    rows = [UNSURE, sure, describe_failure("c", "unreadable", "x")]
    form = RowForm("csv", 1, has_known=True)
    data = write(form, rows)
    assert list(csv.reader(io.StringIO(data.decode()))) == [
        ["file", "label_1", "index_1", "score_1", "known", "error", "detail"],
        ["a", "cat", "0", "0.5", "0.03", "", ""],
        ["b", "cat", "0", "0.5", "0.99", "", ""],
        ["c", "", "", "", "", "unreadable", "x"],
    ]
    records = list(form.read_records(io.BytesIO(data)))
    assert [record.is_error for record in records] == [False, False, True]
    with pytest.raises(InvalidRecord):  # a file of a model without it
        list(RowForm("csv", 1).read_records(io.BytesIO(data)))
    text = write(RowForm("text", 1), rows).decode().splitlines()
    assert text == ["a: cat 0.500 (probably none of the labels, 0.030)", "b: cat 0.500"]
    lines = [json.loads(line) for line in write(RowForm("jsonl", 1), rows).splitlines()]
    assert [(line.get("known"), line.get("notice")) for line in lines] == [
        *((0.03, "None of them."), (0.99, None), (None, None)),
    ]
    assert "known" not in json.loads(RowForm("jsonl", 1).encode(replace(UNSURE, known=None)))


def test_hedged_answers_are_written() -> None:
    torn = Hedged("animal", "an animal", 0.97, 13, ("living thing",), 0.95)
    row = replace(UNSURE, hedged=torn, hedged_text="an animal, which one is uncertain")
    rows = [row, describe_failure("c", "unreadable", "x")]
    form = RowForm("csv", 1, has_hedged=True)
    data = write(form, rows)
    hedged = ["hedged_label", "hedged_score", "hedged_covers"]
    assert list(csv.reader(io.StringIO(data.decode()))) == [
        ["file", "label_1", "index_1", "score_1", *hedged, "error", "detail"],
        ["a", "cat", "0", "0.5", "animal", "0.97", "13", "", ""],
        ["c", "", "", "", "", "", "", "unreadable", "x"],
    ]
    assert [record.is_error for record in form.read_records(io.BytesIO(data))] == [False, True]
    with pytest.raises(InvalidRecord):
        list(RowForm("csv", 1).read_records(io.BytesIO(data)))
    line = json.loads(RowForm("jsonl", 1).encode(row))
    assert line["hedged"] == {
        "label": "animal", "phrase": "an animal", "score": 0.97, "covers": 13,
        "path": ["living thing"], "certainty": 0.95,
    }  # fmt: skip
    assert "hedged" not in json.loads(RowForm("jsonl", 1).encode(UNSURE))
    text = RowForm("text", 1).encode(replace(row, notice=None)).decode()
    assert text == "a: cat 0.500; at 0.95: an animal, which one is uncertain\n"


@given(rows=ROWS)
def test_python_reads_the_csv(rows: list[Row]) -> None:
    text = write(RowForm("csv", 2), rows).decode("utf-8", "surrogateescape")
    header, *found = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == [
        *("file", "label_1", "index_1", "score_1", "label_2", "index_2", "score_2"),
        *("error", "detail"),
    ]
    for fields, row in zip(found, rows, strict=True):
        assert fields[0] == row.name
        if row.error is None:
            assert fields[1::3][:2] == [item.label for item in row.predictions]
            assert [float(score) for score in fields[3::3][:2]] == [
                item.score for item in row.predictions
            ]
        else:
            assert fields[-2:] == [row.error.code, row.error.detail]


@given(row=GOOD)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "shift-jis"])
def test_json_in_every_encoding(encoding: str, row: Row) -> None:
    line = RowForm("jsonl", 2, encoding).encode(row).decode(encoding)
    assert json.loads(line) == row.as_json()
    assert line.count("\n") == 1
    RowForm("csv", 2, encoding).encode(row).decode(encoding, "surrogateescape")
    assert RowForm("text", 2, encoding).encode(row).count(b"\n") == 1


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("jsonl", b"[]\n"),
        ("jsonl", b'{"file": 3, "predictions": []}\n'),
        ("jsonl", b'{"file": "a"}\n'),
        ("jsonl", b'{"file": "a", "predictions": [], "error": {}}\n'),
        ("jsonl", b"\xff\n"),
        ("csv", b"a,b\n"),
        ("csv", b'file,label_1,index_1,score_1,error,detail\na"b,c,1,1,,\n"a\n'),
        ("csv", b"file,label_1,index_1,score_1,error,detail\na,b\n"),
    ],
)
def test_other_files_are_told_apart(kind: Kind, data: bytes) -> None:
    with pytest.raises(InvalidRecord):
        list(RowForm(kind, 1).read_records(io.BytesIO(data + b"x\n")))
