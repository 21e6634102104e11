"""POST /v2/repository/models/{model}/load and /unload: for callers whose key allows it."""

from collections.abc import Hashable
from functools import partial

from pydantic_core import from_json, to_json

from service.access.access import Access
from service.messages.exchange import Answer, Exchange
from service.messages.problems import Problem
from service.oip.errors import refuse
from service.repository.changes import Changes
from service.requests.body import read_small_body
from service.requests.front import Route
from service.settings.settings import Settings
from service.work.lifecycle import Lifecycle

PREFIX = "/v2/repository/models/"
TEMPLATE = f"{PREFIX}{{model}}"
_ACTIONS = ("load", "unload")
_MAX_BYTES = 64 * 2**10  # of a body, which may only say what is the default anyway
_JSON = [(b"content-type", b"application/json")]


class Repository:
    """The two routes, for the components of one application."""

    def __init__(
        self, settings: Settings, lifecycle: Lifecycle, access: Access, changes: Changes
    ) -> None:
        self._seconds = settings.body_idle_timeout_ms / 1000
        self._lifecycle = lifecycle
        self._access = access
        self._changes = changes

    @property
    def is_open(self) -> bool:
        """Whether a key may be allowed to change models."""
        return not self._access.is_open

    @property
    def templates(self) -> frozenset[str]:
        """Its paths."""
        return frozenset(f"{TEMPLATE}/{action}" for action in _ACTIONS)

    def find(self, path: str) -> Route | None:
        """The route of a path; None: another path."""
        if not path.startswith(PREFIX):
            return None
        name, _, action = path.removeprefix(PREFIX).partition("/")
        if action not in _ACTIONS or not name:
            return None
        handler = partial(self._answer, name=name, action=action)
        return Route(f"{TEMPLATE}/{action}", {"POST": handler})

    async def _answer(self, exchange: Exchange, name: str, action: str) -> Answer:
        """Answers when the change is done. Raises Problem, ClientGone."""
        self._lifecycle.check_open()
        self._check_right(exchange.caller)
        await self._read_parameters(exchange)
        await (self._changes.load(name) if action == "load" else self._changes.unload(name))
        return Answer(200, to_json({}), _JSON)

    def _check_right(self, caller: Hashable) -> None:
        if self._access.is_open:
            raise Problem(
                "forbidden",
                "expected a service with API keys, one of which may change models; found one that "
                "everybody may use. Set BNN_API_KEYS_FILE, or send SIGHUP to the process.",
            )
        if not self._access.may_change_models(caller):
            raise Problem(
                "forbidden",
                "expected an API key that may change models; found one that may not. Give it "
                "change_models = true in the keys file.",
            )

    async def _read_parameters(self, exchange: Exchange) -> None:
        """Checks the body, which may be empty or an object; other wishes are refused."""
        body = await read_small_body(exchange, _MAX_BYTES, self._seconds)
        if not body.strip():
            return
        try:
            content = from_json(body)
        except ValueError as fault:
            raise refuse("an object of JSON, or nothing", "other bytes") from fault
        if not isinstance(content, dict):
            raise refuse("an object of JSON, or nothing", "something else")
        parameters = content.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise refuse("an object of parameters", "something else")
        if set(parameters) - {"unload_dependents"}:
            raise refuse(
                "no parameters: a model is loaded as it is in its folder",
                "some",
                "Change the bundle, and load it without them.",
            )
