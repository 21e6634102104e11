"""Faster imports with less memory: no garbage collection, and pydantic's models are built late."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Makes imports inside of the block cheaper, at the start of a process.

    Imported objects stay, so a garbage collection would search them in vain, then and later. The
    models of FastAPI and the service describe the API: the first request for /openapi.json builds
    them, in some tens of milliseconds.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        from pydantic import BaseModel

        BaseModel.model_config["defer_build"] = True  # models take it over from their base
        try:
            yield
        finally:
            del BaseModel.model_config["defer_build"]
    finally:
        gc.freeze()
        if collects:
            gc.enable()
