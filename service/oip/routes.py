"""The paths below /v2 and their handlers."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pydantic_core import to_json

from service.messages.exchange import Answer, Exchange
from service.messages.problems import Problem
from service.oip.errors import encode_error
from service.oip.infer import Infer
from service.oip.metadata import describe_config, describe_index, describe_model, describe_server
from service.oip.models import Model, Offers
from service.oip.repository import Repository
from service.oip.statistics import Statistics
from service.repository.catalogue import Catalogue
from service.requests.front import Handler, Route
from service.requests.intake import Intake
from service.system.versions import read_versions
from service.work.lifecycle import Lifecycle

MODEL, VERSION = "/v2/models/{model}", "/versions/{version}"
_JSON = [(b"content-type", b"application/json")]

_OfModel = Callable[[Exchange, Model], Awaitable[Answer]]


class OpenInference:
    """The protocol's routes, for the components of one application: a Family of the Front."""

    def __init__(
        self, lifecycle: Lifecycle, catalogue: Catalogue, intake: Intake, repository: Repository
    ) -> None:
        self._lifecycle = lifecycle
        self._intake = intake
        self._offers = Offers(catalogue)
        self._repository = repository
        self._statistics = Statistics()
        self._infer = Infer(intake, self._statistics)
        self._plain: dict[str, tuple[str, Handler]] = {
            "/v2": ("GET", self._answer_server),
            "/v2/health/live": ("GET", self._answer_live),
            "/v2/health/ready": ("GET", self._answer_ready),
            "/v2/models/stats": ("GET", self._answer_all_statistics),
            "/v2/repository/index": ("POST", self._answer_index),
        }
        self._of_models: dict[str, tuple[str, _OfModel]] = {
            "": ("GET", self._answer_model),
            "/ready": ("GET", self._answer_model_ready),
            "/config": ("GET", self._answer_config),
            "/stats": ("GET", self._answer_statistics),
            "/infer": ("POST", self._infer.answer),
        }

    @property
    def templates(self) -> frozenset[str]:
        """All paths."""
        of_models = (f"{MODEL}{v}{action}" for v in ("", VERSION) for action in self._of_models)
        return frozenset((*self._plain, *of_models, *self._repository.templates))

    def find(self, path: str) -> Route:
        """The route of a path. Raises Problem not_found."""
        if (plain := self._plain.get(path)) is not None:
            method, handler = plain
            return Route(path, {method: handler}, is_open=path.startswith("/v2/health/"))
        if (change := self._repository.find(path)) is not None:
            return change
        name, version, action = _split(path)
        found = self._of_models.get(action)
        if name is None or found is None:
            raise Problem(
                "not_found",
                "expected a path of the Open Inference Protocol that is served here; found "
                "another. GET /v2 names the extensions, /openapi.json the paths.",
            )
        template = f"{MODEL}{'' if version is None else VERSION}{action}"
        method, answer = found
        handler = partial(self._answer_of_model, name=name, version=version, answer=answer)
        return Route(template, {method: handler}, is_open=action == "/ready")

    def encode_problem(self, problem: Problem) -> Answer:
        """The answer for a problem."""
        return encode_error(problem)

    async def _answer_of_model(
        self, exchange: Exchange, name: str, version: str | None, answer: _OfModel
    ) -> Answer:
        self._lifecycle.check_open()
        return await answer(exchange, self._offers.find(name, version))

    async def _answer_server(self, _: Exchange) -> Answer:
        return _encode(describe_server(read_versions()["service"], self._repository.is_open))

    async def _answer_live(self, _: Exchange) -> Answer:
        self._lifecycle.check_alive()
        return _encode({"live": True})

    async def _answer_ready(self, _: Exchange) -> Answer:
        self._lifecycle.check_ready()
        return _encode({"ready": True})

    async def _answer_index(self, _: Exchange) -> Answer:
        return _encode(describe_index(self._offers.list(), self._offers.faults))

    async def _answer_all_statistics(self, _: Exchange) -> Answer:
        return _encode(self._statistics.describe(self._offers.list()))

    async def _answer_model(self, _: Exchange, model: Model) -> Answer:
        return _encode(describe_model(model))

    async def _answer_model_ready(self, _: Exchange, model: Model) -> Answer:
        self._lifecycle.check_ready()
        return _encode({"name": model.name, "ready": True})

    async def _answer_config(self, _: Exchange, model: Model) -> Answer:
        return _encode(describe_config(model, self._intake.most_images))

    async def _answer_statistics(self, _: Exchange, model: Model) -> Answer:
        return _encode(self._statistics.describe([model]))


def _split(path: str) -> tuple[str | None, str | None, str]:
    """Name of the model, version, and the rest of the path; None: another kind of path."""
    steps = path.split("/")[2:]
    if len(steps) < 2 or steps[0] != "models" or not steps[1]:
        return None, None, ""
    name, version, rest = steps[1], None, steps[2:]
    if len(rest) >= 2 and rest[0] == "versions":
        version, rest = rest[1], rest[2:]
    return name, version, "".join(f"/{step}" for step in rest)


def _encode(content: Any) -> Answer:
    return Answer(200, to_json(content), _JSON)
