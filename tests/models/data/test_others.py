"""models.data.others: which images are left out, and that the rest is what it was."""

from pathlib import Path

from models.data.datasets import open_data_set
from models.data.others import leave_out_others
from tests.models.images import write_colours


def test_classes_of_others_are_left_out_unless_they_are_labels(tmp_path: Path) -> None:
    write_colours(tmp_path / "all" / "val", 2, "blue", "far", "near", "red")
    write_colours(tmp_path / "all" / "test", 3, "blue", "far", "red", "other")
    write_colours(tmp_path / "some" / "test", 3, "blue", "red")
    data = open_data_set(tmp_path / "all", needs_train=False)
    assert data.labels == ("blue", "far", "near", "other", "red")
    left = leave_out_others(data, ("blue", "red"))
    assert left.labels == left.train.classes == ("blue", "red")
    assert len(left.train) == 0
    assert left.validation is not None
    assert left.test is not None
    assert left.validation.counts() == {"blue": 2, "red": 2}
    assert left.test.counts() == {"blue": 3, "red": 3}
    assert {left.test.names[i]: left.test.classes[c] for i, c in enumerate(left.test.labels)} == {
        f"{name}/{i}.png": name for name in ("blue", "red") for i in range(3)
    }
    near = leave_out_others(data, ("blue", "near", "red"))
    assert near.labels == ("blue", "near", "red")
    alone = open_data_set(tmp_path / "some", needs_train=False)
    assert alone.test is not None
    same = leave_out_others(alone, ("blue", "red")).test
    assert same is not None
    assert same.sha256() == alone.test.sha256()
