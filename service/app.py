"""The application: settings, metrics, model and routes put together by create_app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from runtime import Engine
from service.inference import Inference
from service.info import read_versions
from service.metrics import Metrics
from service.middleware import RequestMiddleware
from service.problems import CLIENT_GONE, Problem, answer_problem, describe_status
from service.routes import build_router
from service.schemas import ProblemBody
from service.settings import Settings, read_settings

_TITLE = "Binary neural network image classification"


def create_app(settings: Settings | None = None, engine: Engine | None = None) -> FastAPI:
    """The service as an ASGI application; `settings` default to the environment's.

    The model is loaded in the background of the lifespan: /livez answers at once, /readyz when it
    is warm. `app.state.inference` tells when loading is over and whether it failed. With `engine`
    given, that one is served and the settings' bundle and engine are not looked at.

    Raises:
        InvalidSettings: the environment has a value that is not allowed.
    """
    settings = settings or read_settings()
    versions = read_versions()
    metrics = Metrics()
    metrics.describe_build(versions)
    inference = Inference(settings, metrics, engine)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        inference.start()
        try:
            yield
        finally:
            await inference.close()

    # Swagger's page would load its scripts from elsewhere; the description itself stays.
    app = FastAPI(
        title=_TITLE,
        version=versions["service"],
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.inference = inference
    app.add_middleware(RequestMiddleware, metrics=metrics)
    app.include_router(build_router(settings, metrics, inference))
    _answer_with_problems(app)
    _describe_with_problems(app)
    return app


def _answer_with_problems(app: FastAPI) -> None:
    """Every error leaves as a problem; what the client sent is never quoted."""

    @app.exception_handler(Problem)
    async def on_problem(request: Request, problem: Problem) -> Response:
        return answer_problem(problem, request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, fault: RequestValidationError) -> Response:
        texts = [f"{error['loc'][-1]}: {error['msg']}" for error in fault.errors()]
        problem = Problem("invalid_parameter", f"{'; '.join(texts)}.")
        return answer_problem(problem, request.state.request_id)

    @app.exception_handler(HTTPException)
    async def on_status(request: Request, fault: HTTPException) -> Response:
        problem = describe_status(fault.status_code)
        headers = dict(fault.headers) if fault.headers else None
        return answer_problem(problem, request.state.request_id, headers)

    @app.exception_handler(ClientDisconnect)
    async def on_disconnect(request: Request, fault: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)


def _describe_with_problems(app: FastAPI) -> None:
    """The routes' problem responses refer to a schema that no route returns: it is added here."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                summary="A photo in, labels out.",
                routes=app.routes,
            )
            schema["components"]["schemas"]["ProblemBody"] = ProblemBody.model_json_schema()
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
