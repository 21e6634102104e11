"""service.app: applications are independent, and read the environment only when made."""

import subprocess
import sys
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.settings import InvalidSettings, Settings

pytestmark = pytest.mark.anyio


async def test_two_applications_live_side_by_side(
    connect: Any, make_engine: Any, picture: Any
) -> None:
    async with (
        connect(Settings(max_pixels=100), make_engine(name="a")) as first,
        connect(Settings(), make_engine(name="b")) as second,
    ):
        assert (await first.post("/classify", content=picture())).status_code == 413
        answer = await second.post("/classify", content=picture())
        assert answer.json()["model"]["name"] == "b"
        assert "bnn_decode_failures_total{" not in (await second.get("/metrics")).text


async def test_a_client_that_left_is_counted_and_not_answered(make_engine: Any) -> None:
    app = create_app(Settings(), make_engine())
    async with app.router.lifespan_context(app):
        await app.state.inference.wait()

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        statuses: list[int] = []

        async def send(message: Any) -> None:
            statuses.append(message.get("status", 0))

        headers = [(b"content-length", b"9")]
        scope = {"type": "http", "method": "POST", "path": "/classify", "headers": headers}
        await app({**scope, "query_string": b"", "root_path": ""}, receive, send)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            metrics = (await client.get("/metrics")).text
    assert statuses == [499, 0]
    assert 'bnn_requests_total{method="POST",route="/classify",status="499"} 1.0' in metrics


def test_the_environment_is_read_when_an_application_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BNN_THREADS", "none")
    with pytest.raises(InvalidSettings, match="BNN_THREADS"):
        create_app()


def test_importing_the_service_imports_no_tensor_library() -> None:
    code = (
        "import sys, service.__main__\n"
        "found = {'torch', 'onnxruntime', 'onnx', 'models'} & set(sys.modules)\n"
        "sys.exit(f'imported: {found}' if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
