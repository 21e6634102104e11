"""service.work.fair_queue: against a model of plain lists, and how long anybody waits at most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.work.fair_queue import FairQueue

CALLERS = st.sampled_from("abc")
CONNECTIONS = st.integers(0, 2)


class Comparison(RuleBasedStateMachine):
    """The queue beside a list of callers, each with a list of connections, each with its items."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[object] = FairQueue()
        self.model: list[tuple[str, list[tuple[int, list[object]]]]] = []
        self.made: list[tuple[object, str, int]] = []

    def _find(self, caller: str, connection: int) -> list[object]:
        connections = dict(self.model).get(caller)
        if connections is None:
            connections = []
            self.model.append((caller, connections))
        items = dict(connections).get(connection)
        if items is None:
            items = []
            connections.append((connection, items))
        return items

    def _tidy(self) -> None:
        self.model = [
            (caller, [(connection, items) for connection, items in connections if items])
            for caller, connections in self.model
        ]
        self.model = [(caller, connections) for caller, connections in self.model if connections]

    @rule(caller=CALLERS, connection=CONNECTIONS)
    def push(self, caller: str, connection: int) -> None:
        item = object()
        self.made.append((item, caller, connection))
        self.queue.push(item, caller, connection)
        self._find(caller, connection).append(item)

    @rule()
    def pop(self) -> None:
        expected = None
        if self.model:
            caller, connections = self.model.pop(0)
            connection, items = connections.pop(0)
            expected = items.pop(0)
            connections.append((connection, items))
            self.model.append((caller, connections))
            self._tidy()
        assert self.queue.pop() is expected

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        item, caller, connection = data.draw(st.sampled_from(self.made))
        items = self._find(caller, connection)
        is_in = item in items
        if is_in:
            items.remove(item)
        self._tidy()
        assert self.queue.remove(item, caller, connection) is is_in

    @rule()
    def clear(self) -> None:
        expected = sum(len(items) for _, connections in self.model for _, items in connections)
        cleared = self.queue.clear()
        assert len(cleared) == len(set(map(id, cleared))) == expected
        self.model = []

    @invariant()
    def counts_agree(self) -> None:
        counts = {
            caller: sum(len(items) for _, items in connections)
            for caller, connections in self.model
        }
        assert len(self.queue) == sum(counts.values())
        assert all(self.queue.count(caller) == counts.get(caller, 0) for caller in "abcd")


TestComparison = Comparison.TestCase

PUSHES = st.lists(st.tuples(CALLERS, CONNECTIONS), max_size=40)


@given(PUSHES)
def test_everything_comes_out_once_and_in_the_order_of_its_connection(
    pushes: list[tuple[str, int]],
) -> None:
    queue: FairQueue[tuple[str, int, int]] = FairQueue()
    for number, (caller, connection) in enumerate(pushes):
        queue.push((caller, connection, number), caller, connection)
    taken = queue.clear()
    assert sorted(item[2] for item in taken) == list(range(len(pushes)))
    for key in set(pushes):
        numbers = [number for *of, number in taken if tuple(of) == key]
        assert numbers == sorted(numbers)
    assert queue.pop() is None
    assert len(queue) == 0


@given(PUSHES, CONNECTIONS)
def test_a_newcomer_waits_for_one_item_of_each_caller(
    pushes: list[tuple[str, int]], connection: int
) -> None:
    queue: FairQueue[str] = FairQueue()
    for caller, place in pushes:
        queue.push("other", caller, place)
    queue.push("mine", "newcomer", connection)
    taken = [queue.pop() for _ in range(len({caller for caller, _ in pushes}) + 1)]
    assert "mine" in taken


@pytest.mark.parametrize("many", [1, 100])
def test_a_callers_connections_take_turns_too(many: int) -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(many):
        queue.push(f"busy {number}", "caller", "busy connection")
    queue.push("calm", "caller", "calm connection")
    assert "calm" in [queue.pop(), queue.pop()]


def test_an_item_is_removed_only_from_where_it_is() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("item", "caller", 1)
    assert not queue.remove("item", "caller", 2)
    assert not queue.remove("item", "other", 1)
    assert not queue.remove("other", "caller", 1)
    assert queue.remove("item", "caller", 1)
    assert not queue.remove("item", "caller", 1)
    assert (len(queue), queue.count("caller"), queue.pop()) == (0, 0, None)
