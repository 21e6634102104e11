"""Peer: what one writes in thirty lines of FastAPI and ONNX Runtime, under uvloop and httptools.

Three handlers, of which PEER_HANDLER chooses one. `body` and `form` are `async def`: an image is
classified on the event loop, which for one CPU is the fastest, because no thread has to be woken;
other requests, probes included, wait meanwhile. `thread` is a plain `def`, as FastAPI's documents
advise for work that blocks.
"""

import os
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, UploadFile
from pydantic import BaseModel

from loadtests.peers.network import open_network

app = FastAPI()
network = open_network()


class Answer(BaseModel):
    """The best label and its score, 0..1."""

    label: str
    score: float


async def classify_body(request: Request) -> Answer:
    """The image is the body."""
    return Answer(**network.classify(await request.body()))


async def classify_form(image: UploadFile) -> Answer:
    """The image is a file field of a form."""
    return Answer(**network.classify(await image.read()))


def classify_form_in_thread(image: UploadFile) -> Answer:
    """The same in one of FastAPI's threads."""
    return Answer(**network.classify(image.file.read()))


HANDLERS: dict[str, Callable[..., Any]] = {
    "body": classify_body,
    "form": classify_form,
    "thread": classify_form_in_thread,
}
app.post("/classify")(HANDLERS[os.environ["PEER_HANDLER"]])


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    """The network is there before the port is."""
    return {"status": "ready"}


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(os.environ["PEER_PORT"]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )
