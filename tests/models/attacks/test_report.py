"""models.attacks.report: every figure has its interval; a weak attack is stamped."""

import json

import pytest

from models.attacks.report import print_record, tell_des, tell_record, tell_share
from models.records.attack import TOO_WEAK, Check
from tests.models.attack_records import make_attack_record, make_share


def test_lines_for_people_have_all_figures() -> None:
    text = "\n".join(tell_record(make_attack_record()))
    assert "right on 80.0 % (71.1-86.7) of pets; 100 attacked" in text
    assert "square, eps 1: 9 queries to success (median)" in text
    assert "passed: the check (1: 10 and 30 %)" in text
    assert "accuracy 80 -> 77 %, cost 3 points (standard error 0.5)" in text
    assert "attacks that fail 8 -> 20 % (mean margin), gain 12.0 points; DES 4.00" in text
    assert "DES no measurable cost" in text
    assert text.endswith("all self-checks passed")


def test_a_failed_check_stamps_the_report() -> None:
    failed = (Check(name="the check", passed=False, told="30 %"),)
    lines = list(tell_record(make_attack_record(checks=failed, defence=None)))
    assert "FAILED: the check (30 %)" in lines
    assert lines[-1] == TOO_WEAK == "attack too weak"


def test_programs_get_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    print_record(make_attack_record())
    assert json.loads(capsys.readouterr().out)["clean"]["percent"] == 80


def test_shares_and_scores() -> None:
    assert tell_share(make_share(0)) == "0.0 % (0.0-3.7)"
    assert tell_des(2.345) == "2.35"
    assert tell_des(None) == "no measurable cost"
