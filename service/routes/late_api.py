"""The FastAPI part of the application: created when it is first needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI


class LateApi:
    """Creates it once. FastAPI takes some MiB and tenths of a second."""

    def __init__(self, make: Callable[[], FastAPI]) -> None:
        self._make = make
        self._made: FastAPI | None = None
        self._making = threading.Lock()
        self._turn = asyncio.Lock()

    def get(self) -> FastAPI:
        """The application, created now if it does not exist yet."""
        with self._making:
            made = self._made or self._make()
            self._made = made
        return made

    async def load(self) -> FastAPI:
        """The same without blocking the event loop; other callers wait for it meanwhile."""
        async with self._turn:
            if self._made is None:
                return await asyncio.to_thread(self.get)
            return self._made

    async def describe(self) -> dict[str, Any]:
        """The document of the API."""
        api = await self.load()
        async with self._turn:
            return await asyncio.to_thread(api.openapi)
