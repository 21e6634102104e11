"""Checks the name that the service is called by, the caller's key, and the caller's rate."""

from collections.abc import Hashable

from starlette.types import Scope

from service.access.hosts import AllowedHosts
from service.access.keys import Caller, KeyRing
from service.messages.problems import Problem
from service.settings.settings import Settings

_MAX_KNOWN = 256


class Access:
    """The checks before a request is processed. `bound_host`: the address of the server.

    Raises InvalidSettings if the file of keys cannot be used.
    """

    def __init__(self, settings: Settings, bound_host: str) -> None:
        self._keys = KeyRing(settings.api_keys_file)
        self._hosts = AllowedHosts(settings, bound_host)
        self._known_hosts: set[bytes] = set()  # that were allowed

    @property
    def is_open(self) -> bool:
        """Whether everyone may send requests, because there are no keys."""
        return self._keys.is_open

    def check_host(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Checks the Host header; `headers` are the scope's, by name.

        Raises Problem bad_request, unknown_host.
        """
        host = headers.get(b"host", b"")
        if host in self._known_hosts and len(headers) == len(scope["headers"]):  # none is repeated
            return
        self._hosts.check_request(scope)
        if len(self._known_hosts) < _MAX_KNOWN:
            self._known_hosts.add(host)

    def allows_host(self, host: str) -> bool:
        """Whether the service answers to this address or name."""
        try:
            self._hosts.check(host)
        except Problem:
            return False
        return True

    def find_caller(self, scope: Scope) -> Hashable:
        """The caller by its key, or by its address without keys. Raises Problem unauthorized."""
        if self._keys.is_open:
            client = scope.get("client")
            return client[0] if client else ""
        from starlette.datastructures import Headers  # with anyio, that nothing else needs

        return self._keys.identify(Headers(scope=scope))

    def may_change_models(self, caller: Hashable) -> bool:
        """Whether the caller has a key that may load and unload models."""
        return isinstance(caller, Caller) and caller.may_change_models

    def take(self, caller: Hashable, images: int, before: int = 0) -> None:
        """Counts images against the caller's rate, in addition to `before` of the same request.

        Raises Problem rate_limited.
        """
        if isinstance(caller, Caller):
            self._keys.take(caller, images, before)
