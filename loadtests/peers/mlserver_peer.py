"""Peer: MLServer with a custom handler, which takes the body as it is; no worker processes."""

import asyncio
import os

from fastapi import Request
from fastapi.responses import JSONResponse
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.handlers import custom_handler

from loadtests.peers.network import open_network


class Classifier(MLModel):
    """Infers on the event loop, as MLServer's own models do."""

    async def load(self) -> bool:
        """Once."""
        self.network = open_network()
        return True

    @custom_handler(rest_path="/classify")
    async def classify(self, request: Request) -> JSONResponse:
        """Label and score of the image that is the body."""
        return JSONResponse(self.network.classify(await request.body()))


async def serve() -> None:
    """Until it is ended."""
    port = int(os.environ["PEER_PORT"])
    settings = Settings(
        debug=False,
        host="127.0.0.1",
        http_port=port,
        grpc_port=0,
        parallel_workers=0,
        metrics_endpoint=None,
    )
    model = ModelSettings(name="mobilenet", implementation=Classifier)
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(serve())
