"""service.watch.frames: the tree of faults is as its description draws it."""

import inspect

import service.watch.frames
from service.watch.frames import SourceLost, SourceUnusable


def test_every_fault_is_in_the_tree() -> None:
    kinds = {
        name: kind
        for name, kind in inspect.getmembers(service.watch.frames, inspect.isclass)
        if issubclass(kind, Exception)
    }
    assert service.watch.frames.__doc__ is not None
    for name, kind in kinds.items():
        assert name in service.watch.frames.__doc__
        assert kind.__doc__
    assert {kind.__base__ for kind in kinds.values()} == {Exception, SourceUnusable}
    assert not issubclass(SourceLost, SourceUnusable), "what is away for a while is no wrong usage"
