"""GET /livez, /readyz and /startupz: what orchestrators and balancers ask every few seconds."""

import json
from collections.abc import Callable

from service.messages.exchange import Answer, Exchange
from service.requests.front import Handler
from service.work.lifecycle import Lifecycle

_JSON = [(b"content-type", b"application/json")]


def list_probes(lifecycle: Lifecycle) -> dict[str, dict[str, Handler]]:
    """The probes by path and method; they touch neither model nor queue."""
    return {
        "/livez": {"GET": _make_probe("ok", lifecycle.check_alive)},
        "/readyz": {"GET": _make_probe("ready", lifecycle.check_ready)},
        "/startupz": {"GET": _make_probe("started", lifecycle.check_started)},
    }


def _make_probe(status: str, check: Callable[[], None]) -> Handler:
    body = json.dumps({"status": status}).encode()

    async def answer(_: Exchange) -> Answer:
        check()
        return Answer(200, body, _JSON)

    return answer
