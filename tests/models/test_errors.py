"""models.errors: one tree, drawn in its docstring."""

import inspect

from models import errors


def test_the_docstring_draws_every_exception() -> None:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    assert len(classes) > 3
    for error in classes:
        assert issubclass(error, errors.TrainingFault)
        assert error.__name__ in (errors.__doc__ or "")


def test_every_fault_is_a_value_error_for_callers_that_know_no_more() -> None:
    assert issubclass(errors.TrainingFault, ValueError)
