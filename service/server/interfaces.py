"""The addresses of this machine under which other devices in its network can reach it."""

import fcntl
import logging
import socket
import struct
from pathlib import Path

_log = logging.getLogger(__name__)
_GET_ADDRESS = 0x8915  # SIOCGIFADDR (linux/sockios.h)
_REQUEST = struct.Struct("16s2xH4s16x")  # struct ifreq with a sockaddr_in: name, port, address
_INTERFACES = Path("/sys/class/net")  # socket.if_nameindex needs netlink, which units may forbid


def list_addresses() -> list[str]:
    """The IPv4 address of each interface, without loopback and bridges to containers.

    Nothing is sent and no name is looked up. None if the system does not tell.
    """
    try:
        names = sorted(path.name for path in _INTERFACES.iterdir())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            found = [_ask(asker, name) for name in names if not _is_bridge(name)]
    except OSError as fault:
        _log.debug("the system does not tell its addresses", extra={"fault": str(fault)})
        return []
    return [address for address in found if address and not address.startswith("127.")]


def _ask(asker: socket.socket, name: str) -> str | None:
    """The IPv4 address of an interface; None if it has none."""
    try:
        answer = fcntl.ioctl(asker, _GET_ADDRESS, _REQUEST.pack(name.encode(), 0, b""))
    except OSError:
        return None
    return socket.inet_ntoa(_REQUEST.unpack(answer)[2])


def _is_bridge(name: str) -> bool:
    return (_INTERFACES / name / "bridge").exists()
