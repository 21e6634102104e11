"""The application: settings, metrics, model and routes put together by create_app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from runtime import Engine, trim_memory
from service.access import Access
from service.admission import Admission
from service.budget import Budget
from service.classify import Classify
from service.cors import describe_cors
from service.description import TITLE, describe_api
from service.front import QUIET, Family, Front, LateFamily
from service.gate import Gate
from service.inference import Inference
from service.intake import Intake
from service.lifecycle import Lifecycle
from service.live_metrics import LiveCollector
from service.memory import read_resident
from service.metrics import Metrics
from service.probes import list_probes
from service.problems import Problem, describe_status
from service.pulse import Pulse
from service.routes import build_router
from service.settings import Settings, read_settings
from service.shedding import Shedding
from service.tracing import plan_telemetry
from service.trim import IdleTrim
from service.versions import read_versions


def create_app(
    settings: Settings | None = None,
    engine: Engine | None = None,
    bound_host: str | None = None,
) -> FastAPI:
    """The service as an ASGI application; `settings` default to the environment's.

    The model is loaded in the background of the lifespan: /livez answers at once, /readyz when it
    is warm. `app.state.lifecycle` tells how that went, `app.state.inference` waits for it. With
    `engine` given, that one is served and the settings' bundle and engine are not looked at.
    `bound_host` is the address that is listened on; None: the settings'.

    Raises:
        InvalidSettings: a setting has a value that is not allowed, or the file of keys has.
    """
    settings = settings or read_settings()
    versions = read_versions()
    metrics = Metrics()
    metrics.describe_build(versions)
    lifecycle = Lifecycle(settings.hang_ms / 1000)
    budget = Budget(settings)
    inference = Inference(settings, metrics, lifecycle, budget, engine)
    scheduler = inference.scheduler
    admission = Admission(
        scheduler, inference.predictor, budget.bodies, metrics, settings.queue_images
    )
    access = Access(settings, bound_host or settings.host)
    intake = Intake(settings, metrics, inference, admission, budget, access)
    classify = Classify(settings, lifecycle, inference, intake)
    metrics.watch(LiveCollector(lifecycle, scheduler, admission, budget, settings))
    shedding = Shedding(metrics.read_rejections)
    idle_trim = IdleTrim(lambda: scheduler.is_idle, read_resident, trim_memory)

    def wake(now: float) -> None:
        shedding.update(now)
        idle_trim.update(now)

    pulse = Pulse(metrics.count_lag, wake)

    def make_open_inference() -> Family:
        from service.oip.routes import OpenInference  # a MiB that most never need

        return OpenInference(lifecycle, inference, intake)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        inference.start()
        pulse.start()
        try:
            yield
        finally:
            await inference.close()
            pulse.stop()
            shedding.close(asyncio.get_running_loop().time())

    # Swagger's page would load its scripts from elsewhere; /docs is our own (service.docs).
    app = FastAPI(
        title=TITLE,
        version=versions["service"],
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=plan_telemetry(QUIET),
    )
    app.state.inference = inference
    app.state.admission = admission
    app.state.lifecycle = lifecycle
    app.state.budget = budget
    app.state.admission = admission
    app.state.metrics = metrics
    app.state.access = access
    app.state.gate = Gate(
        *(settings, metrics, lifecycle, admission, access),
        frozenset({b"/classify", b"/classify/batch"}),
    )
    router = build_router(settings, metrics, inference, budget)
    app.add_middleware(
        Front,
        metrics=metrics,
        lifecycle=lifecycle,
        access=access,
        handlers={
            "/classify": {"POST": classify.answer_one},
            "/classify/batch": {"POST": classify.answer_batch},
            **list_probes(lifecycle),
        },
        family=LateFamily("/v2", make_open_inference),
        paths=frozenset({"/openapi.json", "/docs", "/info", "/metrics", "/"}),
    )
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, **describe_cors(settings))  # answers before the Front
    app.include_router(router)
    _answer_with_problems(app)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = describe_api(app, settings, inference)
        if lifecycle.is_started:  # before, the model's part of it is unknown
            app.openapi_schema = document
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _answer_with_problems(app: FastAPI) -> None:
    """Every error leaves the routes as a Problem; what the client sent is never quoted."""

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, fault: RequestValidationError) -> Response:
        texts = [f"{error['loc'][-1]}: {error['msg']}" for error in fault.errors()]
        raise Problem("invalid_parameter", f"{'; '.join(texts)}.") from fault

    @app.exception_handler(HTTPException)
    async def on_status(request: Request, fault: HTTPException) -> Response:
        raise describe_status(fault.status_code, fault.headers) from fault
