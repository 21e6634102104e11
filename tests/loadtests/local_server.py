"""A real server on loopback whose behaviour a test writes itself, down to the bytes."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from loadtests.clients.http_client import Address

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CLOSING = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"


@dataclass
class Peer:
    """One accepted connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heads: list[bytes]

    async def read_head(self) -> bytes:
        """Request line and headers; raises asyncio.IncompleteReadError at the end."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        return head

    async def read_request(self) -> bytes:
        """The body of a request with a Content-Length; its head is in `heads`."""
        head = (await self.read_head()).lower()
        _, found, rest = head.partition(b"content-length: ")
        return await self.reader.readexactly(int(rest.split(b"\r\n")[0]) if found else 0)

    async def send(self, data: bytes) -> None:
        """Bytes, as they are."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Ends with RST: closes at once, whatever is unsent."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Seen:
    """What the server has seen."""

    address: Address
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def serve(behave: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[Seen]:
    """Runs `behave` for each connection, and closes it afterwards."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await behave(Peer(reader, writer, seen.heads))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    seen = Seen(Address(host, port))
    try:
        yield seen
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Turns:
    """Answers all, and counts the requests on connections of an earlier turn."""

    turn: int = 0
    stale: int = 0

    async def behave(self, peer: Peer) -> None:
        """For `serve`."""
        began = self.turn
        while True:
            await peer.read_request()
            self.stale += began != self.turn
            await peer.send(OK)


async def answer_all(peer: Peer) -> None:
    """200 for every request, until the client ends."""
    while True:
        await peer.read_request()
        await peer.send(OK)
