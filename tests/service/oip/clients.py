"""Scripts that ask a service in the words of clients that live in environments of their own."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

#: Arguments: URL, file of a photo. Prints an object of JSON.
KSERVE = """
import asyncio, json, sys
import numpy as np
from kserve import InferInput, InferRequest, InferenceRESTClient, RESTConfig

async def ask(url, photo):
    found = {}
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=30, retries=0))
    found["live"] = await client.is_server_live(url)
    found["ready"] = await client.is_server_ready(url)
    found["model"] = await client.is_model_ready(url, "tiny")
    given = InferInput("image_bytes", [1, 1], "BYTES")
    given.set_data_from_numpy(np.array([[photo]], dtype=np.object_), binary_data=True)
    request = InferRequest("tiny_image", [given], request_id="k1")
    answer = await client.infer(url, request, model_name="tiny_image")
    found["id"] = answer.id
    found["scores"] = answer.outputs[0].as_numpy().tolist()
    for is_binary in (False, True):
        tensor = np.full((2, 3, 32, 32), [[[[1.0]], [[0.0]], [[0.0]]]], np.float32)
        given = InferInput("input", list(tensor.shape), "FP32")
        given.set_data_from_numpy(tensor, binary_data=is_binary)
        answer = await client.infer(url, InferRequest("tiny", [given]), model_name="tiny")
        found["logits" + str(is_binary)] = answer.outputs[1].as_numpy().tolist()
    try:
        await client.infer(url, InferRequest("other", [given]), model_name="other")
    except Exception as fault:
        found["fault"] = str(fault)
    await client.close()
    print(json.dumps(found))

asyncio.run(ask(sys.argv[1], open(sys.argv[2], "rb").read()))
"""

MLSERVER = """
import json, sys, urllib.request
import numpy as np
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, MetadataModelResponse

url, file = sys.argv[1:]

def ask(path, request):
    body = request.model_dump_json(exclude_none=True).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, body)) as answer:
        return InferenceResponse.model_validate_json(answer.read())

with urllib.request.urlopen(url + "/v2/models/tiny") as answer:
    metadata = MetadataModelResponse.model_validate_json(answer.read())
photo = open(file, "rb").read()
image = Base64Codec.encode_input("image_bytes", [photo], use_bytes=False)
answer = ask("/v2/models/tiny_image/infer", InferenceRequest(id="m1", inputs=[image]))
found = {"platform": metadata.platform, "id": answer.id}
found["scores"] = NumpyCodec.decode_output(answer.outputs[0]).tolist()
tensor = np.full((2, 3, 32, 32), [[[[1.0]], [[0.0]], [[0.0]]]], np.float32)
given = NumpyCodec.encode_input("input", tensor)
answer = ask("/v2/models/tiny/infer", InferenceRequest(inputs=[given]))
found["logits"] = NumpyCodec.decode_output(answer.outputs[1]).tolist()
print(json.dumps(found))
"""


def find_client(name: str) -> Path:
    """The Python of a client's environment; where there is none, skips and says how to make it."""
    folder = ROOT / f".venv-{name}"
    if not (folder / "ready").is_file():
        pytest.skip(
            f"the client {name} was not tried: `make protocol-clients` installs it (a minute, 450 "
            "MB, from PyPI), and the same tests use it from then on"
        )
    return folder / "bin" / "python"


def run_client(name: str, script: str, url: str, photo: Path) -> Any:
    """What the script prints; where the client's environment is missing, skips."""
    python = find_client(name)
    answer = subprocess.run(
        [python, "-c", script, url, photo], capture_output=True, text=True, check=False, timeout=120
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])
