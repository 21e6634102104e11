"""Records of models.attack, small and with every field."""

from dataclasses import replace
from pathlib import Path

import torch

from models.attacks.intervals import share_of
from models.records.attack import (
    OWN,
    WHITE,
    Attacker,
    AttackRecord,
    AttackResult,
    Check,
    DefenceFigures,
    Queries,
    Score,
    Share,
    write_attack,
)


def make_share(percent: int) -> Share:
    return share_of(torch.arange(100) < percent)


def make_attack_record(**changes: object) -> AttackRecord:
    """A strong attack on a binary network; `changes` replace fields."""
    stays = {"noise": 95, OWN: 10, "fgsm": 30, "square": 60, WHITE: 9}
    results = tuple(
        AttackResult(
            attack=name,
            eps=eps,
            stays=make_share(int(percent / eps)),
            rounded=make_share(50),
            file=make_share(49),
        )
        for name, percent in stays.items()
        for eps in (1.0, 2.0)
    )
    attacker = Attacker(name="mean margin", stays=make_share(20), worst=make_share(12))
    score = Score(
        **{"eps": 1.0, "attackers": (attacker,), "strongest": "mean margin"},
        **{"failed": 20.0, "failed_without": 8.0, "des": 4.0},
    )
    defence = DefenceFigures(
        **{"name": "noise:5", "draws": 10, "accuracy": 77.0, "accuracy_without": 80.0},
        **{"cost": 3.0, "standard_error": 0.5, "scores": (score, replace(score, des=None))},
    )
    record = AttackRecord(
        **{"network": "meliusnet13 on pets (pt 0123)", "binary": True, "gradients": "checkpoint"},
        **{"surrogate": None, "side": 32, "data": "pets", "split": "test", "sha256": "ab12"},
        **{"classes": 2, "grouped": False, "clean": make_share(80), "images": 100},
        **{"targeted": False, "steps": 50, "queries": 1000, "seed": 1, "results": results},
        queries_to_success=(Queries(eps=1.0, images=100, needed=(3, 7, 9, 40)),),
        checks=(Check(name="the check", passed=True, told="1: 10 and 30 %"),),
        **{"defence": defence, "engine": "native/avx2", "art": "1.20.1", "torch": "2"},
        **{"commit": "0123456789abcdef", "version": "0.1.0", "device": "a CPU"},
        **{"started": "2026-11-26T00:00:00+00:00", "seconds": 12.0},
    )
    return replace(record, **changes)


def write_attack_records(folder: Path) -> Path:
    """A strong and a weak one."""
    folder.mkdir(parents=True)
    write_attack(folder / "strong.json", make_attack_record())
    failed = (Check(name="the check", passed=False, told="1: 30 and 10 %"),)
    weak = make_attack_record(checks=failed, network="feeble on pets (pt 4567)", binary=False)
    write_attack(folder / "weak.json", weak)
    return folder
