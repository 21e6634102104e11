"""bnn_client.errors: a class for each of the service's problems, which survives a process's end."""

import pickle

import bnn_client
from bnn_client.errors import BY_CODE, InvalidAnswer, Overloaded, ServiceError
from service.messages.problems import PROBLEMS


def test_each_problem_of_the_service_has_its_class() -> None:
    assert BY_CODE.keys() == PROBLEMS.keys()
    for code, kind in BY_CODE.items():
        assert kind.__name__.lower() == code.replace("_", "")
        assert getattr(bnn_client, kind.__name__) is kind
        assert kind.__name__ in bnn_client.__all__


def test_what_is_repeated_is_what_the_table_has_a_retry_after_for() -> None:
    for code, definition in PROBLEMS.items():
        fault = BY_CODE[code](definition.status, code, "", "", "", definition.retry_after)
        assert fault.may_pass == (
            definition.retry_after is not None and definition.status in (429, 503)
        )


def test_they_tell_everything_and_can_be_pickled() -> None:
    fault = Overloaded(429, "overloaded", "Busy", "Come later.", "abc", 2.0)
    assert str(fault) == "429 overloaded: Busy. Come later. (request abc)"
    copy = pickle.loads(pickle.dumps(fault))
    assert isinstance(copy, ServiceError)
    assert vars(copy) == vars(fault)
    other = pickle.loads(pickle.dumps(InvalidAnswer("a page", 502, 3.0)))
    assert (str(other), other.status, other.retry_after) == ("a page", 502, 3.0)
