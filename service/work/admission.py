"""Decides which requests are admitted, before their body is read: by images, bytes and time."""

import math
from collections import Counter
from collections.abc import Hashable
from time import monotonic
from typing import NoReturn

from service.classification.predictor import Predictor
from service.memory.ledger import Account
from service.messages.problems import Problem
from service.metrics.metrics import Metrics
from service.work.scheduler import Scheduler

#: A body that is not there this long after its request began holds its bytes, but no place in the
#: queue: slow clients must not keep out others while the workers are idle.
YOUNG_SECONDS = 0.25
#: Bytes that a body takes in addition to twice its length: what the connection has read ahead.
READ_AHEAD = 64 * 2**10
_STEP = 256 * 2**10  # bytes of a body of unknown length that are held in advance
_PRESENT_SECONDS = 5.0  # a caller counts as present this long after its last request
_MAX_CALLERS = 1000
_MARGIN = 0.8  # of a deadline may be filled by predictions, which can be wrong


def _measure(size: int) -> int:
    """Bytes that a body of this size takes: its pieces, and the whole body made of them."""
    return 2 * size + READ_AHEAD


class Ticket:
    """What an admitted request holds: bytes, and at first a place in the queue.

    It must always be closed, and once more for each time that it was shared: a worker may still
    have an image of a request that has been answered.
    """

    def __init__(
        self,
        admission: "Admission",
        caller: Hashable,
        size: int,
        cost: float,
        deadline: float,
        predictor: Predictor,
    ) -> None:
        self.caller = caller
        self.cost = cost
        self.began = monotonic()
        self._admission = admission
        self._full_size = size
        self._size = size
        self._deadline = deadline
        self._predictor = predictor
        self._owners = 1

    def share(self) -> None:
        """Adds an owner: somebody else needs what the ticket holds."""
        self._owners += 1

    def stall(self, received: int) -> None:
        """The body pauses: no memory is held any longer for the rest of it."""
        self._hold(min(self._size, _measure(received)))

    def resume(self) -> None:
        """The body goes on after a pause. Raises Problem overloaded if there is no room for it."""
        self._extend(self._full_size)

    def grow(self, received: int) -> None:
        """So many bytes of a body of unknown length have arrived.

        Raises Problem overloaded if there is no room for more.
        """
        if _measure(received) > self._full_size:
            self.reserve(_measure(received + _STEP))

    def reserve(self, size: int) -> None:
        """Holds so many bytes in all. Raises Problem overloaded if there is no room."""
        if size > self._full_size:
            self._full_size = size
            self._extend(size)

    def complete(self, sizes: list[int], are_tensors: bool = False) -> list[float]:
        """The body is complete and has images of these sizes; returns the seconds for each of them.

        Raises Problem overloaded if they can no longer be answered in time.
        """
        was_young = self._admission.forget(self)
        costs = [self._predictor.predict(0 if are_tensors else size) for size in sizes]
        if not was_young or len(sizes) > 1:
            self._admission.check(self.caller, len(sizes), sum(costs), self._deadline)
        self._hold(min(self._size, sum(sizes)))
        return costs

    def close(self) -> None:
        """Returns everything that it holds, once its last owner has closed it."""
        self._admission.forget(self)
        self._owners -= 1
        if self._owners == 0:
            self._hold(0)

    def _extend(self, size: int) -> None:
        if not self._admission.bodies.try_take(size - self._size):
            self._admission.refuse("bytes", "memory for the rest of the body", "none left")
        self._size = size

    def _hold(self, size: int) -> None:
        self._admission.bodies.give_back(self._size - size)
        self._size = size


class Admission:
    """The limits on admitted requests. To be used on the event loop alone.

    `admit` and the tickets raise Problem overloaded (429), with the seconds after which to try
    again.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        predictor: Predictor,
        bodies: Account,
        metrics: Metrics,
        queue_images: int,
    ) -> None:
        self.bodies = bodies
        self._scheduler = scheduler
        self._predictor = predictor
        self._metrics = metrics
        self._queue_images = queue_images
        self._young: dict[Ticket, None] = {}  # bodies that are expected any moment, oldest first
        self._young_seconds = 0.0
        self._young_by: Counter[Hashable] = Counter()
        self._seen: dict[Hashable, float] = {}  # caller -> its last request
        self._share = queue_images
        self._shared_at = 0.0

    def admit(
        self,
        caller: Hashable,
        announced: int | None,
        deadline: float,
        are_tensors: bool = False,
        predictor: Predictor | None = None,
    ) -> Ticket:
        """Admits a request for one image or more, or raises Problem overloaded.

        `announced`: bytes of the body, None if unknown. `deadline`: max seconds from the complete
        body to the answer. `are_tensors`: nothing is to be decoded. `predictor`: that of the
        requested model; None: of the default one.
        """
        predictor = predictor or self._predictor
        cost, size = self.check_entry(caller, announced, deadline, are_tensors, predictor)
        self.bodies.take(size)
        ticket = Ticket(self, caller, size, cost, deadline, predictor)
        self._young[ticket] = None
        self._young_seconds += cost
        self._young_by[caller] += 1
        return ticket

    def check_entry(
        self,
        caller: Hashable,
        announced: int | None,
        deadline: float,
        are_tensors: bool = False,
        predictor: Predictor | None = None,
    ) -> tuple[float, int]:
        """Checks what `admit` checks; the seconds and bytes that the request would hold."""
        self._note_presence(caller)
        expected = _STEP if announced is None else announced
        cost = (predictor or self._predictor).predict(0 if are_tensors else expected)
        self.check(caller, 1, cost, deadline)
        size = _measure(expected)
        if self.bodies.held + size > self.bodies.capacity:
            self.refuse("bytes", "memory for another body", "none left")
        return cost, size

    @property
    def is_crowded(self) -> bool:
        """Whether a request might be refused: images wait, or bodies hold much of the memory."""
        return self._scheduler.waiting > 0 or 2 * self.bodies.held > self.bodies.capacity

    def check(self, caller: Hashable, images: int, cost: float, deadline: float) -> None:
        """Raises Problem overloaded unless these images, `cost` seconds in all, can be admitted."""
        self._age(monotonic())
        scheduler = self._scheduler
        waiting = scheduler.waiting + len(self._young)
        if waiting == 0 and scheduler.busy < scheduler.workers:
            return  # a worker is free: whatever a prediction says, trying is better
        if waiting + images > self._queue_images:
            self.refuse("queue", f"at most {self._queue_images} images to wait", "more")
        own = scheduler.count_waiting(caller) + self._young_by[caller]
        if 2 * waiting > self._queue_images and own + images > self._find_share():
            self.refuse("share", f"at most {self._share} waiting images of one caller", "more")
        wait = self.predict_wait()
        if wait + cost > _MARGIN * deadline:
            self.refuse(
                "deadline",
                f"to answer within {deadline * 1000:.0f} ms",
                f"work for about {(wait + cost) * 1000:.0f} ms",
            )

    def refuse(self, reason: str, expected: str, found: str) -> NoReturn:
        """Raises Problem overloaded and counts it under this reason."""
        self._metrics.count_rejection(reason)
        raise Problem(
            "overloaded",
            f"expected {expected}; found {found}. Try again later, or elsewhere.",
            retry_after=max(1, math.ceil(self.predict_wait())),
        )

    @property
    def arriving(self) -> int:
        """Images whose bodies are arriving and which have a place in the queue."""
        return len(self._young)

    def predict_wait(self) -> float:
        """Predicted seconds until a worker is free for an image that comes now."""
        return self._scheduler.predict_wait() + self._young_seconds / self._scheduler.workers

    def forget(self, ticket: Ticket) -> bool:
        """Takes back a ticket's place in the queue; False if it no longer has one."""
        if ticket not in self._young:
            return False
        del self._young[ticket]
        self._young_seconds = self._young_seconds - ticket.cost if self._young else 0.0
        self._young_by[ticket.caller] -= 1
        if not self._young_by[ticket.caller]:
            del self._young_by[ticket.caller]
        return True

    def _age(self, now: float) -> None:
        """Takes back the places of bodies that are late."""
        while self._young and now - (oldest := next(iter(self._young))).began > YOUNG_SECONDS:
            self.forget(oldest)

    def _find_share(self) -> int:
        """Max waiting images of each caller when the queue is more than half full."""
        now = monotonic()
        if now - self._shared_at > 0.1:  # callers come and go more slowly
            self._shared_at = now
            present = sum(now - last < _PRESENT_SECONDS for last in self._seen.values())
            self._share = max(1, self._queue_images // max(1, present))
        return self._share

    def _note_presence(self, caller: Hashable) -> None:
        now = monotonic()
        self._seen[caller] = now
        if len(self._seen) > _MAX_CALLERS:
            self._seen = {who: at for who, at in self._seen.items() if now - at < _PRESENT_SECONDS}
