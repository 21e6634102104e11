"""API keys: who the caller is, and how much of its rate is left; read from a file."""

import hashlib
import hmac
import logging
import math
import re
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.access.key_file import KeyEntry, parse_keys
from service.access.token_bucket import TokenBucket
from service.messages.problems import Problem
from service.settings.settings import InvalidSettings, name_variable
from service.settings.toml_file import InvalidToml, read_bytes

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_SCHEME = "bearer"
# RFC 6750's characters of a token.
_KEY = re.compile(r"[A-Za-z0-9._~+/-]{1,512}=*")


@dataclass(frozen=True)
class Caller:
    """The caller: the name of its key, empty if no keys are needed, and its right."""

    name: str
    may_change_models: bool = False


class KeyRing:
    """The keys of a file; without a file everyone is the caller "". Thread-safe.

    The file is checked again with a request, at most once per second: new keys are valid from then
    on. If the file is gone or broken, the earlier keys stay, and one line is logged.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises InvalidSettings if the file cannot be used."""
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, KeyEntry] = {}
        self._buckets: dict[str, TokenBucket] = {}
        self._content: bytes | None = None
        self._looked_at = clock()
        if path is not None:
            try:
                self._content = read_bytes(path)
                self._use(parse_keys(self._content, path))
                is_public = path.stat().st_mode & stat.S_IROTH
            except (InvalidToml, OSError) as fault:
                raise InvalidSettings(f"{name_variable('api_keys_file')}: {fault}") from fault
            if is_public:
                _log.warning(
                    "API keys can be read by every user of this machine; chmod o-r ends that",
                    extra={"file": str(path)},
                )

    @property
    def is_open(self) -> bool:
        """Whether everyone may send requests, because there is no file."""
        return self._path is None

    def identify(self, headers: Mapping[str, str]) -> Caller:
        """The caller by its key, in `Authorization: Bearer KEY` or `X-API-Key: KEY`.

        `headers` have names in lower case; its items() may have a name several times, as
        Starlette's do. Raises Problem unauthorized.
        """
        if self._path is None:
            return Caller("")
        digest = hashlib.sha256(_read_key(headers).encode()).digest()
        with self._lock:
            self._look_again(self._path)
            found = None
            for name, entry in self._entries.items():  # all of them: the time tells nothing
                if hmac.compare_digest(digest, entry.digest):
                    found = Caller(name, entry.change_models)
        if found is None:
            raise Problem("unauthorized", "expected a known API key; found another.")
        return found

    def take(self, caller: Caller, images: int, before: int = 0) -> None:
        """Counts images against the caller's rate, in addition to `before` of the same request.

        Raises Problem rate_limited.
        """
        with self._lock:
            bucket = self._buckets.get(caller.name)
            seconds = 0.0 if bucket is None else bucket.take(images, self._clock(), before)
        if seconds > 0:
            raise Problem(
                "rate_limited",
                "expected no more images than this key's rate allows; found more. Send fewer, or "
                "ask for a higher rate.",
                retry_after=math.ceil(seconds),
            )

    def _look_again(self, path: Path) -> None:
        now = self._clock()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        content: bytes | None = None
        try:
            if not path.is_file():  # a pipe, which could be read once, would keep everyone waiting
                raise InvalidToml(f"{path}: expected a file; found none")
            content = read_bytes(path)
            if content == self._content:
                return
            entries = parse_keys(content, path)
        except InvalidToml as fault:
            if content is None and self._content is None:
                return  # still gone
            _log.error("API keys stay as they were", extra={"reason": str(fault)})
        else:
            self._use(entries)
            _log.info("API keys read again", extra={"keys": len(entries)})
        self._content = content

    def _use(self, entries: dict[str, KeyEntry]) -> None:
        now = self._clock()
        buckets = {}
        for name, entry in entries.items():
            if entry.rate is not None:
                bucket = self._buckets.get(name)
                if bucket is None:
                    bucket = TokenBucket(entry.rate, entry.capacity, now)
                else:
                    bucket.change(entry.rate, entry.capacity, now)
                buckets[name] = bucket
        self._entries, self._buckets = entries, buckets


def _read_key(headers: Mapping[str, str]) -> str:
    """The only key in the headers. Raises Problem unauthorized."""
    found: list[str] = []
    other = False
    for name, value in headers.items():
        if name == "x-api-key":
            found.append(value.strip(" \t"))
        elif name == "authorization":
            scheme, _, rest = value.strip(" \t").partition(" ")
            if scheme.lower() == _SCHEME:
                found.append(rest.strip(" "))
            else:  # a proxy's, for one: no key of ours
                other = True
    if len(found) == 1 and _KEY.fullmatch(found[0]):
        return found[0]
    if len(found) > 1:
        problem = "found several"
    elif found:
        problem = "found a text that is none"
    else:
        problem = "found another kind of authorization" if other else "found none"
    raise Problem(
        "unauthorized",
        f"expected one API key; {problem}. Send it as Authorization: Bearer KEY or X-API-Key: KEY.",
    )
