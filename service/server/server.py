"""uvicorn's server with an accept loop of its own: bounds, and a drain that loses nothing."""

import asyncio
import errno
import logging
import resource
import signal
import socket
from time import monotonic
from types import FrameType

import uvicorn

from service.application import Application
from service.messages.problems import Problem
from service.server.eviction import Eviction
from service.server.listener import let_nobody_begin
from service.server.protocol import BoundedProtocol
from service.settings.settings import Settings
from service.work.live_metrics import ConnectionCollector

_log = logging.getLogger(__name__)
_SPARE = 32  # connections beyond the bound, on which probes and refusals are still answered
_OTHER_FILES = 64  # descriptors of other things than connections
_ACCEPTS = 16  # connections taken at a time, before others get their turn
_PAUSE_SECONDS = 0.1  # without accepting, where the system has no descriptors left
_SWEEP_SECONDS = 1.0
_LINGER_SECONDS = 1.0  # in which a connection without a request may still send one, at the end
_QUEUED_SECONDS = 0.2  # in which clients that were connecting when the listener closed get in
_STEP_SECONDS = 0.05
_LAST_SECONDS = 2.0  # after the grace time, in which clients must take what is written for them
_BACKSTOP_SECONDS = 3  # after the grace time uvicorn cancels what is left


class Server(uvicorn.Server):
    """Serves an application of create_app on a listening socket until a signal; then drains.

    The first SIGTERM: not ready, each answer says Connection: close, and requests are taken for
    the drain delay, so that balancers and clients go elsewhere. Then what is connecting is
    accepted, the listener closed, and what is in flight answered within the grace time, or refused
    at its end.
    SIGINT, a person at a terminal, has no delay, and a second one no grace. SIGHUP reads the models
    again.
    """

    def __init__(
        self,
        app: Application,
        settings: Settings,
        listener: socket.socket,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                loop="asyncio",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=settings.grace_ms // 1000 + _BACKSTOP_SECONDS,
            )
        )
        self._settings = settings
        self._listener = listener
        self._lifecycle = app.state.lifecycle
        self._scheduler = app.state.inference.scheduler
        self._metrics = app.state.metrics
        self._gate = app.state.gate
        self._changes = app.state.inference.changes
        self._reloading: asyncio.Task[None] | None = None
        self._is_reload_due = False
        self._drain_at: float | None = None  # when the delay is over, of time.monotonic
        self._stopping_since: float | None = None  # the first signal
        self._is_hurried = False
        self._signals: list[signal.Signals] = []
        self._accepting = False
        self._is_closed = False
        self._connecting: set[asyncio.Task[object]] = set()
        self._eviction = Eviction(lambda: self.connections)
        self._leaving = 0  # evicted connections that end with the loop's next turn
        self._swept_at = 0.0
        self._complained_at = 0.0
        self._bound = bound_connections(settings.max_connections)
        self._metrics.watch(ConnectionCollector(lambda: self.connections, self._bound))

    @property
    def connections(self) -> "set[BoundedProtocol]":
        """The open connections."""
        return self.server_state.connections  # type: ignore[return-value]

    @property
    def is_full(self) -> bool:
        """Whether all connections that may have requests in progress are in use."""
        return len(self.server_state.connections) > self._bound

    # ---- signals

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by a signal between any two instructions: it only notes the signal."""
        self._signals.append(signal.Signals(sig))

    def stop(self) -> None:
        """Ends the service at once: without a model there is nothing to drain."""
        self._drain_at = monotonic()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; True ends the main loop."""
        await super().on_tick(counter)
        now = monotonic()
        if now - self._swept_at >= _SWEEP_SECONDS:
            self._swept_at = now
            self._sweep(now)
        self._heed_signals()
        return self._drain_at is not None and now >= self._drain_at

    def _heed_signals(self) -> None:
        while self._signals:  # one may come at any moment, and none may be lost
            caught = self._signals.pop(0)
            if caught is signal.SIGHUP:
                self._reload_models()
            elif self._drain_at is None:
                seconds = 0 if caught is signal.SIGINT else self._settings.drain_delay_ms / 1000
                self._stopping_since = monotonic()
                self._drain_at = self._stopping_since + seconds
                self._lifecycle.begin_drain()
                _log.info(
                    "stopping",
                    extra={
                        "signal": caught.name,
                        "delay_s": seconds,
                        "connections": len(self.connections),
                        "waiting": self._scheduler.waiting,
                    },
                )
            elif caught is signal.SIGINT:
                self._drain_at = monotonic()
                self._is_hurried = True

    def _reload_models(self) -> None:
        """Loads the models as their directory is now, while requests are answered.

        However many signals come meanwhile, it is done once more afterwards.
        """
        if self._drain_at is None:
            self._is_reload_due = True
            if self._reloading is None or self._reloading.done():
                self._reloading = asyncio.create_task(self._reload_while_due())

    async def _reload_while_due(self) -> None:
        while self._is_reload_due:
            self._is_reload_due = False
            await self._changes.reload()

    # ---- connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to accept."""
        await super().startup(sockets=[])
        self._listener.setblocking(False)
        self._resume_accepting()

    def _resume_accepting(self) -> None:
        if not self._accepting:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)
            self._accepting = True

    def _pause_accepting(self) -> None:
        if self._accepting:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._accepting = False

    def _accept(self) -> None:
        """Accepts connections within the bounds; makes room by ending silent ones."""
        can_evict = True
        for _ in range(_ACCEPTS):
            is_full = self._count_connections() >= self._bound + _SPARE
            if is_full and not self._evict(is_urgent=True):
                self._complain("too many connections are busy; new ones wait")
                self._take_a_break()
                return
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as fault:
                if fault.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                self._complain(f"the system accepts no more connections: {fault.strerror}")
                self._evict()
                self._take_a_break()
                return
            connection.setblocking(False)
            loop = asyncio.get_running_loop()
            task = loop.create_task(loop.connect_accepted_socket(self._make_protocol, connection))
            self._connecting.add(task)
            task.add_done_callback(self._finish_connecting)
            if can_evict and self._count_connections() > self._bound:
                can_evict = self._evict()

    def _finish_connecting(self, task: "asyncio.Task[object]") -> None:
        self._connecting.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.debug("a connection ended before it began", extra={"fault": str(fault)})

    def _make_protocol(self) -> BoundedProtocol:
        return BoundedProtocol(
            header_seconds=self._settings.header_timeout_ms / 1000,
            idle_seconds=self._settings.idle_timeout_ms / 1000,
            metrics=self._metrics,
            gate=self._gate,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )

    def _count_connections(self) -> int:
        """The connections that are open, or will be."""
        return len(self.connections) + len(self._connecting) - self._leaving

    def _take_a_break(self) -> None:
        self._pause_accepting()
        asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._end_break)

    def _end_break(self) -> None:
        if not self._is_closed:
            self._resume_accepting()

    def _evict(self, is_urgent: bool = False) -> bool:
        """Ends a silent connection, if there is one."""
        ended = self._eviction.evict(is_urgent)
        if ended is None:
            return False
        self._metrics.count_evicted()
        if ended.is_gone:
            self._leaving += 1
            asyncio.get_running_loop().call_soon(self._forget_leaving)  # after its connection_lost
        return True

    def _forget_leaving(self) -> None:
        self._leaving -= 1

    def _sweep(self, now: float) -> None:
        for connection in list(self.connections):
            connection.sweep(now)

    def _complain(self, text: str) -> None:
        """A line in the log, at most once a second."""
        now = monotonic()
        if now - self._complained_at >= 1:
            self._complained_at = now
            _log.warning(text, extra={"connections": len(self.connections), "bound": self._bound})

    # ---- the end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes the listener without losing clients that connect, and ends what is in."""
        began = monotonic()
        if self._reloading is not None:
            self._reloading.cancel()
        if not self._lifecycle.is_draining:
            self._lifecycle.begin_drain()
        await self._close_listener()
        until = began + self._settings.grace_ms / 1000
        while self.connections and not self._is_hurried and monotonic() < until:
            await asyncio.sleep(_STEP_SECONDS)
            now = monotonic()
            self._sweep(now)
            if now - began > _LINGER_SECONDS:
                self._lifecycle.refuse_new()
                self._close_idle()
            self._heed_signals()
        await self._refuse_rest()
        await self._end_connections()
        await super().shutdown(sockets=[])
        since = began if self._stopping_since is None else self._stopping_since
        _log.info("stopped", extra={"seconds": round(monotonic() - since, 2)})

    async def _close_listener(self) -> None:
        """Stops new connections, accepts those that have begun, then closes the listener."""
        let_nobody_begin(self._listener)
        await asyncio.sleep(_QUEUED_SECONDS)
        self._is_closed = True
        self._accept_queued()
        self._pause_accepting()
        self._listener.close()
        await asyncio.sleep(0)

    async def _refuse_rest(self) -> None:
        """The grace time is over: requests without an answer get a problem instead."""
        self._lifecycle.refuse_new()
        problem = Problem(
            "draining", "expected to be in time; the service has stopped. Ask another one."
        )
        self._scheduler.refuse_waiting(problem)
        await asyncio.sleep(_STEP_SECONDS)
        for connection in list(self.connections):
            if connection.is_working:
                connection.end_with(problem)
        self._close_idle()

    async def _end_connections(self) -> None:
        """Ends connections whose clients do not take their answers."""
        until = monotonic() + _LAST_SECONDS
        while self.connections and monotonic() < until:
            await asyncio.sleep(_STEP_SECONDS)
        for connection in self.connections:
            connection.transport.abort()

    def _accept_queued(self) -> None:
        before = -1
        while self._count_connections() != before:
            before = self._count_connections()
            self._accept()

    def _close_idle(self) -> None:
        for connection in list(self.connections):
            if not connection.is_working and not connection.transport.is_closing():
                connection.transport.close()


def bound_connections(wanted: int) -> int:
    """The number of connections that there are descriptors for; raises the soft limit.

    Logs a line if there are fewer than wanted.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _SPARE + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    bound = max(1, soft - _SPARE - _OTHER_FILES)
    _log.warning(
        "fewer connections than BNN_MAX_CONNECTIONS: the system allows no more descriptors",
        extra={"connections": bound, "wanted": wanted, "descriptors": soft},
    )
    return bound
