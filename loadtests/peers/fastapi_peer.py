"""Peer: what one writes in thirty lines of FastAPI and ONNX Runtime, under uvloop and httptools.

`async def`: an image is classified on the event loop. For one CPU that is the fastest, because no
thread has to be woken; other requests, probes included, wait meanwhile.
"""

import os

import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel

from loadtests.peers.network import open_network

app = FastAPI()
network = open_network()


class Answer(BaseModel):
    """The best label and its score, 0..1."""

    label: str
    score: float


@app.post("/classify")
async def classify(request: Request) -> Answer:
    """The image is the body."""
    return Answer(**network.classify(await request.body()))


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
