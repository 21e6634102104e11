"""The phases of the service: starting, ready, draining; the probes report them."""

from collections.abc import Callable

from service.messages.problems import Problem


class Lifecycle:
    """The present phase of the service. To be changed on the event loop.

    `begin_drain` ends readiness while requests are still accepted; `refuse_new` ends that, too.
    """

    def __init__(self, hang_seconds: float) -> None:
        self._hang_seconds = hang_seconds
        self._longest_run: Callable[[], float] = lambda: 0.0
        self.is_started = False  # the model is loaded and warm, or was
        self.is_draining = False
        self.refuses_new = False
        self.fault: str | None = None  # why the model could not be loaded
        self.on_change: Callable[[], None] = lambda: None

    def watch(self, longest_run: Callable[[], float]) -> None:
        """Sets the function that tells the busy seconds of the longest busy worker."""
        self._longest_run = longest_run

    def finish_start(self) -> None:
        """The model is loaded and warm."""
        self.is_started = True
        self.on_change()

    def fail_start(self, fault: str) -> None:
        """The model could not be loaded."""
        self.fault = fault
        self.on_change()

    def begin_drain(self) -> None:
        """No longer ready; requests are answered, and then their connections closed."""
        self.is_draining = True
        self.on_change()

    def refuse_new(self) -> None:
        """New requests are refused from now on."""
        self.refuses_new = True

    def check_ready(self) -> None:
        """Raises Problem not_ready, no_engine or draining unless balancers may send requests."""
        self.check_open()
        if self.is_draining:
            raise Problem("draining", "expected a running service; it is being stopped.")

    def check_open(self) -> None:
        """Raises Problem not_ready, no_engine or draining unless requests are taken."""
        self.check_started()
        if self.refuses_new:
            raise Problem(
                "draining", "expected a running service; it has stopped. Ask another one."
            )

    def check_started(self) -> None:
        """Raises Problem not_ready or no_engine unless the model is or was loaded and warm."""
        if self.fault is not None:
            raise Problem(
                "no_engine", "expected a loaded model; loading failed. The service's log says why."
            )
        if not self.is_started:
            raise Problem(
                "not_ready", "expected a loaded model; it is still being loaded. Try again."
            )

    def check_alive(self) -> None:
        """Raises Problem hanging if a worker has been busy with one image for too long."""
        seconds = self._longest_run()
        if seconds > self._hang_seconds:
            raise Problem(
                "hanging",
                f"expected no image to take more than {self._hang_seconds:g} s; one has taken "
                f"{seconds:.0f} s. Restart the service.",
            )
