"""service.routes.late_api: made once, whoever asks first, while the event loop runs on."""

import asyncio
import threading

import pytest
from fastapi import FastAPI

from service.routes.late_api import LateApi
from tests.service.wire import SECONDS

pytestmark = pytest.mark.anyio


class Maker:
    """Makes applications, when it is let."""

    def __init__(self) -> None:
        self.made: list[FastAPI] = []
        self.threads: set[threading.Thread] = set()
        self.may_go = threading.Event()

    def __call__(self) -> FastAPI:
        assert self.may_go.wait(SECONDS)
        self.threads.add(threading.current_thread())
        self.made.append(FastAPI(title="late", version="1"))
        return self.made[-1]


async def test_it_is_made_once_in_a_thread_and_all_wait_for_it() -> None:
    maker = Maker()
    late = LateApi(maker)
    waiting = [asyncio.create_task(late.load()) for _ in range(5)]
    document = asyncio.create_task(late.describe())
    await asyncio.sleep(0.01)  # the loop runs on
    assert not any(task.done() for task in (*waiting, document))
    maker.may_go.set()
    found = await asyncio.gather(*waiting)
    assert all(api is maker.made[0] for api in found)
    assert late.get() is maker.made[0]
    assert len(maker.made) == 1
    assert maker.threads.isdisjoint({threading.main_thread()})
    assert (await document)["info"] == {"title": "late", "version": "1"}
    assert await late.describe() is await late.describe()


async def test_threads_make_one_together() -> None:
    maker = Maker()
    late = LateApi(maker)
    tasks = [asyncio.create_task(asyncio.to_thread(late.get)) for _ in range(3)]
    maker.may_go.set()
    assert len({id(api) for api in await asyncio.gather(*tasks)}) == 1


async def test_what_failed_is_tried_again() -> None:
    tries: list[int] = []

    def make() -> FastAPI:
        tries.append(1)
        if len(tries) == 1:
            raise MemoryError
        return FastAPI()

    late = LateApi(make)
    with pytest.raises(MemoryError):
        await late.load()
    assert await late.load() is late.get()
