"""FastAPI's part of the application: made when somebody asks for it, and not before."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI


class LateApi:
    """Makes it once. FastAPI takes some MiB and tenths of a second, and serving does without."""

    def __init__(self, make: Callable[[], FastAPI]) -> None:
        self._make = make
        self._made: FastAPI | None = None
        self._making = threading.Lock()
        self._turn = asyncio.Lock()

    def get(self) -> FastAPI:
        """What was made, or is made now."""
        with self._making:
            made = self._made or self._make()
            self._made = made
        return made

    async def load(self) -> FastAPI:
        """The same while the event loop runs on; whoever else asks meanwhile waits for it."""
        async with self._turn:
            if self._made is None:
                return await asyncio.to_thread(self.get)
            return self._made

    async def describe(self) -> dict[str, Any]:
        """The document of the API."""
        api = await self.load()
        async with self._turn:
            return await asyncio.to_thread(api.openapi)
