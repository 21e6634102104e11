"""Asks a running service what it is: GET and POST outside the load, answers as JSON or text."""

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from loadtests.errors import ServerFault

TIMEOUT_SECONDS = 10.0
# Proxies of the environment are not used: they would be measured, too. Locust uses none either.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(address: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of GET, or of POST with a body. Raises ServerFault without an answer."""
    url = address.rstrip("/") + path
    if not url.startswith(("http://", "https://")):
        raise ServerFault(f"expected an address as http://127.0.0.1:8000, found {address!r}")
    request = urllib.request.Request(url, data=body)
    try:
        with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as fault:
        with fault:
            return fault.code, fault.read()
    except (OSError, ValueError, http.client.HTTPException) as fault:  # URLError is an OSError
        reason = getattr(fault, "reason", fault)
        raise ServerFault(
            f"expected a service at {address}, found none: {reason}; start one "
            "(make serve), or give the address of one that runs"
        ) from None


def ask_json(address: str, path: str, body: bytes | None = None) -> Any:
    """The JSON of an answer 200; None for any other answer. Raises ServerFault without one."""
    status, found = ask(address, path, body)
    if status != 200:
        return None
    try:
        return json.loads(found)
    except ValueError:
        return None
