"""The FastAPI application: describes the API, and takes additional routes.

It is imported when it is first needed (service.routes.late_api).
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from service.messages.problems import Problem, describe_status
from service.requests.front import QUIET
from service.requests.tracing import plan_telemetry
from service.routes.description import TITLE, describe_api
from service.settings.settings import Settings
from service.work.inference import Inference
from service.work.lifecycle import Lifecycle


def make_api(
    version: str,
    settings: Settings,
    lifecycle: Lifecycle,
    inference: Inference,
    surround: Callable[[ASGIApp], ASGIApp],
    lifespan: Callable[[], AbstractAsyncContextManager[None]],
) -> FastAPI:
    """FastAPI without routes; `surround` puts the service's routes in front of added ones."""
    # Swagger's page would load its scripts from elsewhere; /docs is our own (service.routes.docs).
    api = FastAPI(
        title=TITLE,
        version=version,
        lifespan=lambda _: lifespan(),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=plan_telemetry(QUIET),
    )
    api.add_middleware(surround)
    _answer_with_problems(api)

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is not None:
            return api.openapi_schema
        document = describe_api(api, settings, inference)
        if settings.api_keys_file is not None:
            from service.routes.key_description import describe_keys  # most services have none

            describe_keys(document)
        if lifecycle.is_started:  # before, the model's part of it is unknown
            api.openapi_schema = document
        return document

    api.openapi = openapi  # type: ignore[method-assign]
    return api


def _answer_with_problems(api: FastAPI) -> None:
    """Makes every error a Problem; what the client sent is never quoted."""

    @api.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, fault: RequestValidationError) -> Response:
        texts = [f"{error['loc'][-1]}: {error['msg']}" for error in fault.errors()]
        raise Problem("invalid_parameter", f"{'; '.join(texts)}.") from fault

    @api.exception_handler(HTTPException)
    async def on_status(request: Request, fault: HTTPException) -> Response:
        raise describe_status(fault.status_code, fault.headers) from fault
