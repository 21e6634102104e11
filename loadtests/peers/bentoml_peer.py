"""Peer: BentoML with one worker; it opens the image itself, out of a form's file field."""

from typing import Any

import bentoml
from PIL import Image

from loadtests.peers.network import open_network


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Classifier:
    """Served by `python -m bentoml serve loadtests.peers.bentoml_peer:Classifier`."""

    def __init__(self) -> None:
        self.network = open_network()

    @bentoml.api
    async def classify(self, image: Image.Image) -> dict[str, Any]:
        """Label and score; on the event loop, which needs no thread for it."""
        return self.network.classify_image(image)
