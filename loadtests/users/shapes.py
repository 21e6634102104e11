"""Load shapes as Locust knows them: users over time, or the one user of an open loop."""

from argparse import Namespace
from typing import Any

from locust import LoadTestShape

from loadtests.users.options import choose_seconds
from loadtests.users.session import Session
from loadtests.users.stages import Ramp, Stage, find_stage, plan_stages
from loadtests.users.turns import Director

MAX_SPAWN_RATE = 100.0  # users a second; Locust advises against more
Tick = tuple[int, float]


class OneUser(LoadTestShape):
    """One user, until the open loop is over."""

    def __init__(self) -> None:
        super().__init__()
        self.is_over = False

    def reset_time(self) -> None:
        """A test starts."""
        super().reset_time()
        self.is_over = False

    def tick(self) -> Tick | None:
        """One user or, after the end, None."""
        return None if self.is_over else (1, 1.0)


class UserStages(LoadTestShape):
    """Step, spike, soak and ramp of a closed loop, whose level is the number of users (-u)."""

    use_common_options = True

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._index = -1
        self._began = 0.0

    def reset_time(self) -> None:
        """A test starts; the first tick comes before Locust's own event of the start."""
        super().reset_time()
        self._session.begin()
        self._index, self._began = -1, 0.0

    def tick(self) -> Tick | None:
        """The users of the stage that runs, None after the last one."""
        stage = self._tick_ramp() if self._session.options.shape == "ramp" else self._tick_stages()
        if stage is None:
            return None
        return max(round(stage.level), 1), MAX_SPAWN_RATE

    @property
    def _level(self) -> float:
        return float(self._session.options.num_users or 1)

    def _tick_stages(self) -> Stage | None:
        options = self._session.options
        stages = plan_stages(options.shape, self._level, choose_seconds(options))
        index = find_stage(stages, self.get_run_time())
        if index is None:
            return None
        if index != self._index:
            self._session.enter(stages[index])
            self._index = index
        return stages[index]

    def _tick_ramp(self) -> Stage | None:
        session, options = self._session, self._session.options
        now = self.get_run_time()
        if session.ramp is None:
            session.ramp = Ramp(
                self._level,
                options.stage_seconds,
                options.ramp_factor,
                options.run_time or float("inf"),
                whole=True,
            )
            return self._begin(session.ramp.current, now)
        if now - self._began >= options.stage_seconds:
            session.ramp.judge(session.judge_stage())
            return self._begin(session.ramp.current, now)
        return session.ramp.current

    def _begin(self, stage: Stage | None, now: float) -> Stage | None:
        self._began = now
        if stage is not None:
            self._session.enter(stage)
        return stage


def choose_shape(session: Session) -> Any:
    """None where Locust's own -u and -t say everything."""
    if session.is_open:
        return OneUser()
    return None if session.options.shape == "steady" else UserStages(session)


class UsersUntil(LoadTestShape):
    """As many users as -u says, until the turns of two services are over."""

    use_common_options = True

    def __init__(self, options: Namespace, director: Director) -> None:
        super().__init__()
        self._options, self._director = options, director

    def reset_time(self) -> None:
        """A test starts."""
        super().reset_time()
        self._director.reset()

    def tick(self) -> Tick | None:
        """All users at once or, after the end, None."""
        if self._director.is_over:
            return None
        return int(self._options.num_users), MAX_SPAWN_RATE
