"""Imports in less time and memory: no collections, and pydantic's models wait for a first use."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Inside, what is imported costs less. For the start of a process.

    What an import makes stays, so that the collector would look through it for nothing, then and
    later. And the models that FastAPI and the service define describe the API: whoever asks for
    /openapi.json first has them built, in some tens of milliseconds.
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
