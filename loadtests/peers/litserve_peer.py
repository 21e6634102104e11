"""Peer: LitServe with one worker; an image is a file field of a form, its way to take bytes."""

import os
from typing import Any

import litserve
from fastapi import Request

from loadtests.peers.network import open_network


class Classifier(litserve.LitAPI):
    """Decodes and infers in the worker process."""

    def setup(self, device: str) -> None:
        """Once in each worker."""
        self.network = open_network()

    def decode_request(self, request: Request) -> bytes:
        """The bytes of the field."""
        form: Any = request  # it is the parsed form, whatever the annotation says
        data: bytes = form["image"].file.read()
        return data

    def predict(self, data: bytes) -> dict[str, Any]:
        """Label and score."""
        return self.network.classify(data)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """As they are."""
        return output


if __name__ == "__main__":
    litserve.LitServer(Classifier(api_path="/classify"), accelerator="cpu").run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
