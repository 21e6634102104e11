"""create_app: puts settings, metrics, model and routes together into the application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from runtime import Engine, trim_memory
from service.access.access import Access
from service.access.cors import describe_cors
from service.application import Application, State
from service.memory.budget import Budget
from service.memory.trim import IdleTrim
from service.metrics.metrics import Metrics
from service.repository.collector import ModelCollector
from service.requests.front import Family, Front, Handler, LateFamily
from service.requests.gate import Gate
from service.requests.intake import Intake
from service.requests.tracing import heed_environment
from service.routes.classify import Classify
from service.routes.late_api import LateApi
from service.routes.probes import list_probes
from service.routes.routes import Routes
from service.settings.settings import Settings, read_settings
from service.system.memory import read_resident
from service.system.versions import read_versions
from service.work.admission import Admission
from service.work.inference import Inference
from service.work.lifecycle import Lifecycle
from service.work.live_metrics import LiveCollector
from service.work.pulse import Pulse
from service.work.shedding import Shedding

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app(
    settings: Settings | None = None,
    engine: Engine | None = None,
    bound_host: str | None = None,
) -> Application:
    """Makes the service as an ASGI application; `settings` default to those of the environment.

    The model is loaded in the background of the lifespan: /livez answers at once, /readyz when the
    model is warm. `app.state.lifecycle` tells the phase, `app.state.inference` can wait for the
    model. If `engine` is given, it is served, and the bundle and the engine of the settings are
    ignored. `bound_host` is the address that the server listens on; None: that of the settings.

    Raises:
        InvalidSettings: a setting or a value in the file of keys is not allowed.
    """
    settings = settings or read_settings()
    heed_environment()
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
    metrics.watch(ModelCollector(inference.catalogue))
    shedding = Shedding(metrics.read_rejections)
    idle_trim = IdleTrim(lambda: scheduler.is_idle, read_resident, trim_memory)

    def wake(now: float) -> None:
        shedding.update(now)
        idle_trim.update(now)

    pulse = Pulse(metrics.count_lag, wake)

    def make_open_inference() -> Family:
        from service.oip.repository import Repository  # a MiB that most never need
        from service.oip.routes import OpenInference

        repository = Repository(settings, lifecycle, access, inference.changes)
        return OpenInference(lifecycle, inference.catalogue, intake, repository)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        inference.start()
        pulse.start()
        try:
            yield
        finally:
            await inference.close()
            pulse.stop()
            shedding.close(asyncio.get_running_loop().time())

    def make_fastapi() -> FastAPI:
        from service.routes.api import make_api  # MiB that serving does without

        version = versions["service"]
        return make_api(version, settings, lifecycle, inference, surround, lifespan)

    late_api = LateApi(make_fastapi)
    routes = Routes(settings, metrics, inference, budget, late_api)
    handlers: dict[str, Mapping[str, Handler]] = {
        "/classify": {"POST": classify.answer_one},
        "/classify/batch": {"POST": classify.answer_batch},
        **list_probes(lifecycle),
        **routes.list_handlers(),
    }
    open_inference = LateFamily("/v2", make_open_inference)

    def surround(app: ASGIApp) -> ASGIApp:
        front = Front(app, metrics, lifecycle, access, handlers, open_inference)
        if not settings.cors_origins:
            return front
        from starlette.middleware.cors import CORSMiddleware

        return CORSMiddleware(front, **describe_cors(settings))  # answers before the Front

    gated = frozenset({b"/classify", b"/classify/batch"})
    gate = Gate(settings, metrics, lifecycle, admission, access, gated)
    state = State(inference, lifecycle, admission, budget, metrics, access, gate)
    return Application(versions["service"], state, surround, late_api, lifespan)
