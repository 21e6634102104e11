"""service.memory.ledger: never more out than there is, first come first served, nothing kept."""

import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.memory.ledger import Account
from tests.service.servers import wait_for
from tests.service.wire import SECONDS


class Bookkeeping(RuleBasedStateMachine):
    """An account beside a list of what was taken out."""

    def __init__(self) -> None:
        super().__init__()
        self.account = Account(100)
        self.out: list[int] = []

    @rule(size=st.integers(0, 130))
    def take(self, size: int) -> None:
        fits = sum(self.out) + size <= 100
        assert self.account.try_take(size) is fits
        if fits:
            self.out.append(size)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        self.account.give_back(self.out.pop(data.draw(st.integers(0, len(self.out) - 1))))

    @rule(size=st.integers(0, 130))
    def hold(self, size: int) -> None:
        """For nobody to wait for: `until` has passed."""
        try:
            with self.account.hold(size, monotonic()):
                assert self.account.held == sum(self.out) + size <= 100
        except ValueError:
            assert size > 100
        except TimeoutError:
            assert sum(self.out) + size > 100

    @invariant()
    def is_right(self) -> None:
        assert self.account.held == sum(self.out) <= self.account.capacity


TestBookkeeping = Bookkeeping.TestCase


def test_more_than_there_ever_is_cannot_be_waited_for() -> None:
    with pytest.raises(ValueError, match="expected at most 10 bytes; found 11"):
        Account(10).hold(11, monotonic() + SECONDS).__enter__()


def test_what_a_block_holds_is_returned_whatever_happens_in_it() -> None:
    account = Account(10)
    with pytest.raises(KeyError), account.hold(10, monotonic() + SECONDS):
        raise KeyError
    assert account.held == 0


def test_those_who_wait_are_served_in_their_order() -> None:
    """A large one at the head is not overtaken by small ones that would fit."""
    account = Account(10)
    assert account.try_take(6)
    served: list[int] = []

    def wait(size: int) -> None:
        with account.hold(size, monotonic() + SECONDS):
            served.append(size)

    threads = []
    for size in (8, 2, 10, 1):
        threads.append(threading.Thread(target=wait, args=(size,), daemon=True))
        threads[-1].start()
        wait_for(lambda: len(account._line) == len(threads), "the line")
    assert served == []
    account.give_back(6)
    for thread in threads:
        thread.join(SECONDS)
    assert served.index(8) < served.index(10) < served.index(1)
    assert served.index(8) < served.index(2)
    assert account.held == 0


def test_who_gives_up_makes_room_in_the_line() -> None:
    account = Account(10)
    assert account.try_take(6)
    entered, leave = threading.Event(), threading.Event()

    def wait() -> None:
        with account.hold(3, monotonic() + SECONDS):
            entered.set()
            assert leave.wait(SECONDS)

    def give_up() -> None:
        with pytest.raises(TimeoutError):
            account.hold(9, monotonic() + 0.05).__enter__()

    impatient = threading.Thread(target=give_up, daemon=True)
    impatient.start()
    wait_for(lambda: account._line or not impatient.is_alive(), "the impatient one")
    patient = threading.Thread(target=wait, daemon=True)
    patient.start()
    impatient.join(SECONDS)
    assert entered.wait(SECONDS), "the second one fits, once the first has given up"
    assert account.held == 9
    leave.set()
    patient.join(SECONDS)
    assert account.held == 6


def test_who_waits_for_more_than_there_is_by_now_gets_it_when_nobody_has_any() -> None:
    """The account was made smaller meanwhile, for a model that came."""
    account = Account(10)
    assert account.try_take(8)
    served = threading.Event()

    def wait() -> None:
        with account.hold(9, monotonic() + SECONDS):
            served.set()

    thread = threading.Thread(target=wait)
    thread.start()
    wait_for(lambda: account._line)
    account.capacity = 5
    account.give_back(7)
    assert not served.wait(0.05)
    account.give_back(1)
    assert served.wait(SECONDS)
    thread.join()
    assert account.held == 0


def test_many_threads_never_have_more_than_there_is() -> None:
    account = Account(1000)
    lock = threading.Lock()
    out = most = 0

    def work(seed: int) -> None:
        nonlocal out, most
        for number in range(200):
            size = (seed * 31 + number * 17) % 400
            with account.hold(size, monotonic() + SECONDS):
                with lock:
                    out += size
                    most = max(most, out)
                with lock:
                    out -= size

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert account.held == 0
    assert most <= 1000


def test_who_wants_more_than_there_is_may_have_all() -> None:
    account = Account(10)
    with account.hold(11, monotonic() + SECONDS, or_all=True):
        assert account.held == 10
    assert account.held == 0
