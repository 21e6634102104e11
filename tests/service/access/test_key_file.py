"""service.access.key_file: what is a key file, and that nothing of a key is quoted when it is
none.
"""

import hashlib
import re
from pathlib import Path

import pytest

from service.access.key_file import make_key, parse_keys
from service.settings.toml_file import InvalidToml

PATH = Path("keys.toml")
DIGEST = hashlib.sha256(b"secret").hexdigest()
SECRET = "bnn_aVerySecretKeyThatNobodyMayEverSeeAnywhere0123"


def test_a_file_of_two_keys() -> None:
    text = (
        f'[keys.app]\nsha256 = "{DIGEST.upper()}"\nrate = 5\nburst = 20\n'
        f'[keys.batch-2]\nsha256 = "{"0" * 64}"\n'
    )
    keys = parse_keys(text.encode(), PATH)
    app, batch = keys["app"], keys["batch-2"]
    assert app.digest == hashlib.sha256(b"secret").digest()
    assert (app.rate, app.capacity) == (5, 20)
    assert (batch.rate, batch.burst) == (None, None)


@pytest.mark.parametrize(("rate", "capacity"), [(0.5, 1), (1, 1), (50, 50)])
def test_the_burst_is_that_of_a_second(rate: float, capacity: float) -> None:
    keys = parse_keys(f'[keys.a]\nsha256 = "{DIGEST}"\nrate = {rate}'.encode(), PATH)
    assert keys["a"].capacity == capacity


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "expected tables [keys.NAME]"),
        ("[keys]", "expected tables [keys.NAME]"),
        ("keys = 5", "expected tables [keys.NAME]"),
        (f'[app]\nsha256 = "{DIGEST}"', "and nothing else; found more than them"),
        ("[keys]\na = 1", "keys.a: expected a table"),
        ("[keys.a]", "keys.a.sha256: field required"),
        (f'[keys.a]\nsha256 = "{SECRET}"', "keys.a.sha256: expected the 64 hexadecimal digits"),
        (f'[keys.a]\nsha256 = "{DIGEST}\\n"', "keys.a.sha256: expected the 64 hexadecimal digits"),
        ("[keys.a]\nsha256 = 5", "keys.a.sha256: input should be a valid string"),
        (
            f'[keys.a]\nkey = "{SECRET}"',
            "keys.a: expected sha256, rate, burst, change_models; found another name",
        ),
        (f'[keys.a]\nsha256 = "{DIGEST}"\nratte = 5', "did you mean rate?"),
        (f'[keys.a]\nsha256 = "{DIGEST}"\n{SECRET} = 5', "keys.a: expected sha256, rate, burst"),
        (f'[keys.{SECRET}]\nsha256 = "{DIGEST}"', "expected a name of 1 to 40 letters"),
        (f'[keys."a b"]\nsha256 = "{DIGEST}"', "for key 1; found another"),
        (
            f'[keys.a]\nsha256 = "{DIGEST}"\n[keys.b]\nsha256 = "{DIGEST.upper()}"',
            "found one for a, b",
        ),
        (f'[keys.a]\nsha256 = "{DIGEST}"\n[keys.a]\nsha256 = "{"0" * 64}"', "expected TOML"),
        *(
            (f'[keys.a]\nsha256 = "{DIGEST}"\nrate = {rate}', "keys.a.rate: input should be")
            for rate in ("0", "-1", "nan", "inf", "true", '"5"', "1e7")
        ),
        *(
            (f'[keys.a]\nsha256 = "{DIGEST}"\nrate = 1\nburst = {burst}', "keys.a.burst: input")
            for burst in ("0.5", "nan", "[]")
        ),
        (f'[keys.a]\nsha256 = "{DIGEST}"\nburst = 2', "keys.a: input should have a rate"),
        (SECRET, "expected TOML; found"),
    ],
)
def test_what_is_no_key_file(text: str, fault: str) -> None:
    with pytest.raises(InvalidToml, match=re.escape(fault)) as caught:
        parse_keys(text.encode(), PATH)
    assert str(caught.value).startswith("keys.toml: ")
    assert SECRET not in str(caught.value)
    assert DIGEST not in str(caught.value)


def test_a_new_key_is_let_in_by_its_lines() -> None:
    key, lines = make_key("app_1", rate=2.5, burst=10)
    (entry,) = parse_keys(lines.encode(), PATH).values()
    assert entry.digest == hashlib.sha256(key.encode()).digest()
    assert (entry.rate, entry.burst) == (2.5, 10)
    assert key not in lines
    assert re.fullmatch(r"bnn_[A-Za-z0-9_-]{43}", key)
    assert make_key("app_1")[0] != key


def test_no_key_can_be_taken_for_a_name() -> None:
    with pytest.raises(ValueError, match="expected a name"):
        make_key(make_key("a")[0])


@pytest.mark.parametrize(
    ("name", "rate", "burst", "fault"),
    [
        ("", None, None, "expected a name of 1 to 40 letters, digits, - and _"),
        ("a.b", None, None, "expected a name"),
        ("-a", None, None, "expected a name"),
        ("a", 0.0, None, "a.rate: input should be greater than 0"),
        ("a", float("nan"), None, "a.rate: input should be"),
        ("a", None, 5.0, "a: input should have a rate"),
    ],
)
def test_what_no_key_is_made_for(
    name: str, rate: float | None, burst: float | None, fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        make_key(name, rate, burst)
