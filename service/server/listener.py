"""The listening socket: opened, and closed without losing clients that are connecting."""

import array
import logging
import socket
import struct

_log = logging.getLogger(__name__)
_BACKLOG = 1024  # connecting clients; the server takes them at once, within its bounds
# Of each connection, for what its client has not taken: the system's own bound is megabytes, which
# a container pays for. The system doubles the number.
_SEND_BUFFER = 64 * 2**10

# A filter of Linux's classic BPF (linux/filter.h), which sees each segment from its TCP header on.
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; the module `socket` lacks it
_LOAD_BYTE, _AND, _JUMP_IF_EQUAL, _RETURN = 0x30, 0x54, 0x15, 0x06
_FLAGS, _SYN, _SYN_OR_ACK = 13, 0x02, 0x12  # where the flags are, and two of them
_PASS, _DROP = 0xFFFFFFFF, 0
_DROP_NEW = (  # code, steps if equal, steps if not, constant
    (_LOAD_BYTE, 0, 0, _FLAGS),
    (_AND, 0, 0, _SYN_OR_ACK),
    (_JUMP_IF_EQUAL, 0, 1, _SYN),
    (_RETURN, 0, 0, _DROP),
    (_RETURN, 0, 0, _PASS),
)


def open_listener(host: str, port: int) -> socket.socket:
    """Opens a listening socket, before the model is loaded. Raises OSError.

    Its protocol is TCP, not 0 as socket.create_server has it: asyncio turns Nagle's algorithm off
    only for sockets that say they are TCP. With that algorithm every answer would wait for 40 ms.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def let_nobody_begin(listener: socket.socket) -> None:
    """Lets connections that have begun be completed, and no others begin.

    Closing a listening socket resets every client that is connecting or waits to be accepted. So
    the first segment of further connections is dropped; their clients try again a second later, and
    are refused once the socket is closed. Without such filters in the system nothing changes.
    """
    filters = array.array("B", b"".join(struct.pack("=HBBI", *step) for step in _DROP_NEW))
    address, _ = filters.buffer_info()
    program = struct.pack("HP", len(_DROP_NEW), address)
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError as fault:
        _log.debug("the system filters no connections", extra={"fault": str(fault)})
