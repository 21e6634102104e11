"""The memory that the process may use, and the rest of it for bodies and decoding."""

import logging
import resource
from bisect import bisect_left
from dataclasses import dataclass, replace

from runtime import ImageLimits, describe_full_size_limits
from service.memory.ledger import Account
from service.settings.settings import Settings
from service.system.cgroup import read_memory_limit
from service.system.memory import read_allocated, read_memory, read_resident

_log = logging.getLogger(__name__)
_MIB = 2**20
_UNMEASURED_BYTES = 400 * _MIB  # of the process, until the model is loaded
_SLACK_BYTES = 16 * _MIB  # what the allocator keeps, logs, scrapes, stacks
_CONNECTION_BYTES = 32 * 2**10  # of a connection, its objects and buffers
_TENSOR_BYTES_PER_PIXEL = 60  # of the network's input, while an image is resized and normalised
_BODIES_SHARE = 0.3  # of what is left; the rest is for decoding
_BODIES_AT_ONCE = 4  # of the largest, each of which takes twice its bytes while it arrives
_MAX_BODIES = 256 * _MIB
_MIN_BODY = _MIB  # a smaller one would refuse ordinary photos
_MIN_PIXELS = 500_000  # of any format, at full size; with fewer, too
_MAX_BUDGET_MIB = 2**30


class NoMemory(Exception):
    """The memory budget is too small for the model and ordinary images."""


@dataclass(frozen=True)
class Limits:
    """The limits of one request, once the budget is known."""

    max_body_bytes: int
    images: ImageLimits


class Budget:
    """The budget of the process and its two accounts.

    The limit is BNN_MEMORY_BUDGET, else the container's, else half of the machine's memory. Until
    `settle` has measured the process with its model, a generous amount is reserved for it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.limit, self.origin = _find_limit(settings)
        self.base = 0
        self._input_pixels = 0
        self.bodies = Account(0)
        self.decoding = Account(0)
        self.limits = Limits(settings.max_body_bytes, settings.image_limits)
        self._share_out(_UNMEASURED_BYTES)

    def settle(self, input_pixels: int, is_final: bool = True) -> None:
        """Shares out the rest of the memory, now that the model is loaded and warm.

        `input_pixels`: of the largest input of a network. Limits that do not fit are lowered, and
        logged unless more models will come. Raises NoMemory; then nothing is changed.
        """
        base = read_memory().get("rss", _UNMEASURED_BYTES)
        base += self._measure_tensors(input_pixels)
        base += self._settings.max_connections * _CONNECTION_BYTES + _SLACK_BYTES
        self._check(base)
        self._input_pixels = input_pixels
        self._share_out(base)
        if is_final:
            self.report()

    def change(self, by: int, input_pixels: int) -> None:
        """Shares out the rest again, after a model of `by` bytes came, or went (below 0).

        `input_pixels`: of the largest input now. Raises NoMemory; then nothing is changed.
        """
        base = self.check_change(by, input_pixels)
        self._input_pixels = input_pixels
        self._share_out(base)

    def check_change(self, by: int, input_pixels: int) -> int:
        """Checks what `change` checks, without changing anything; the bytes that would be reserved.

        Raises NoMemory as `change` does.
        """
        tensors = self._measure_tensors(input_pixels) - self._measure_tensors(self._input_pixels)
        base = max(0, self.base + by + tensors)
        if base > self.base:
            self._check(base)
        return base

    def _measure_tensors(self, input_pixels: int) -> int:
        return self._settings.workers * _TENSOR_BYTES_PER_PIXEL * input_pixels

    def _check(self, base: int) -> None:
        """Raises NoMemory if the rest is too small for ordinary images."""
        if not _suffices(self.limit - base, self._settings):
            needed = bisect_left(
                range(_MAX_BUDGET_MIB),
                True,
                key=lambda mib: _suffices(mib * _MIB - base, self._settings),
            )
            raise NoMemory(
                f"expected a memory budget of at least {needed} MiB for this model; found "
                f"{self.limit / _MIB:.0f} MiB ({self.origin}). Give the container more memory, or "
                "serve a smaller model or another engine."
            )

    def enforce(self) -> None:
        """Makes allocations beyond the budget fail in this process, after `settle`; Linux only.

        The accounts rely on the headers of files. A decoder may take more memory for a forged file
        than its header tells: this ends with a MemoryError, not with the end of the process.
        """
        allocated, resident = read_allocated(), read_resident()
        if not allocated:
            return
        most = allocated + max(0, self.limit - resident) + _SLACK_BYTES
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))

    def _share_out(self, base: int) -> None:
        self.base = base
        self.bodies.capacity, self.decoding.capacity, self.limits = _divide(
            self.limit - base, self._settings
        )

    def report(self) -> None:
        """Logs the budget, and the limits that are lowered to fit into it."""
        settings, limits = self._settings, self.limits
        if limits.max_body_bytes < settings.max_body_bytes:
            _log.warning(
                "BNN_MAX_BODY_BYTES is lowered: the memory budget has no room for more",
                extra={"bytes": limits.max_body_bytes, "wanted": settings.max_body_bytes},
            )
        pixels = describe_full_size_limits(limits.images)
        lowered = {kind: most for kind, most in pixels.items() if most < settings.max_pixels}
        if lowered:
            _log.warning(
                "BNN_MAX_PIXELS is lowered: the memory budget has no room for more; a JPEG above "
                "it is decoded at reduced scale, others are refused",
                extra={"pixels": lowered, "wanted": settings.max_pixels},
            )
        _log.info(
            "memory budget",
            extra={
                "limit_mib": self.limit // _MIB,
                "from": self.origin,
                "process_mib": self.base // _MIB,
                "bodies_mib": self.bodies.capacity // _MIB,
                "decoding_mib": self.decoding.capacity // _MIB,
            },
        )


def _divide(rest: int, settings: Settings) -> tuple[int, int, Limits]:
    """Divides the rest of the budget: bytes for bodies, for decoding, limits that fit."""
    bodies = min(int(max(0, rest) * _BODIES_SHARE), _MAX_BODIES)
    decoding = max(0, rest) - bodies
    max_body = min(settings.max_body_bytes, max(1, bodies // _BODIES_AT_ONCE))
    # The decoder has a copy of the file beside what it decodes.
    most = max(1, decoding - max_body)
    return (
        bodies,
        decoding,
        Limits(max_body, replace(settings.image_limits, max_decoding_bytes=most)),
    )


def _suffices(rest: int, settings: Settings) -> bool:
    """Whether ordinary images of every format fit into the rest."""
    bodies, _, limits = _divide(rest, settings)
    least = min(_MIN_PIXELS, settings.max_pixels)
    pixels = describe_full_size_limits(limits.images)
    return bodies >= _MIN_BODY * _BODIES_AT_ONCE and min(pixels.values()) >= least


def _find_limit(settings: Settings) -> tuple[int, str]:
    """The bytes that the process may use, and the origin of this number."""
    container = read_memory_limit()
    if container is not None and container <= settings.memory_budget:
        return container, "the container's limit"
    if "memory_budget" in settings.model_fields_set:
        return settings.memory_budget, "BNN_MEMORY_BUDGET"
    return settings.memory_budget, "half of the machine's memory"
