"""POST /classify and /classify/batch: admitted, read, computed, answered; plain ASGI."""

from time import perf_counter
from typing import Any
from urllib.parse import parse_qs

from pydantic_core import to_json

from runtime import Level
from service.classification.certainty import read_level
from service.classification.classifier import DEFAULT_TOP_K, Classifier
from service.classification.explanation import Wish, read_wish, refuse_wish
from service.messages.exchange import Answer, Exchange
from service.messages.problems import Problem, describe_problem
from service.metrics.metrics import STAGES
from service.repository.served import ServedModel
from service.requests.body import measure_announced, read_images
from service.requests.intake import Intake
from service.settings.settings import Settings
from service.work.inference import Classified, Inference
from service.work.lifecycle import Lifecycle

UNTRAINED = "untrained: random weights, the labels mean nothing"
_TIME_HEADERS = {name: f"x-time-{name}-ms".encode() for name in (*STAGES, "total")}
_JSON = (b"content-type", b"application/json")


class Classify:
    """The two routes, for the components of one application."""

    def __init__(
        self, settings: Settings, lifecycle: Lifecycle, inference: Inference, intake: Intake
    ) -> None:
        self._settings = settings
        self._lifecycle = lifecycle
        self._catalogue = inference.catalogue
        self._intake = intake

    async def answer_one(self, exchange: Exchange) -> Answer:
        """One image. Raises Problem, ClientGone."""
        model = self._choose(exchange)
        (outcome,), timings = await self._classify(exchange, model, 1, is_batch=False)
        if isinstance(outcome, Problem):
            raise outcome
        assert isinstance(outcome, Classified)
        stages = {name: 1000 * seconds for name, seconds in outcome.seconds.items()}
        rounded = _round({"receive": timings["receive"], **stages, "total": timings["total"]})
        exchange.stages = rounded
        times = [(_TIME_HEADERS[name], b"%.3f" % value) for name, value in rounded.items()]
        if outcome.explanation is not None:
            headers = outcome.explanation.list_headers()
            return Answer(200, outcome.explanation.png, [*headers, *times])
        body = {
            **_describe_predictions(outcome),
            **_describe_answering(model),
            "image": _describe_image(outcome),
            "timings_ms": rounded,
            "request_id": exchange.context.request_id,
        }
        return Answer(200, to_json(body), [_JSON, *times])

    async def answer_batch(self, exchange: Exchange) -> Answer:
        """Several images; each has its answer or its problem. Raises Problem, ClientGone."""
        most = self._settings.max_batch_images
        model = self._choose(exchange)
        outcomes, timings = await self._classify(exchange, model, most, is_batch=True)
        results: list[dict[str, Any]] = []
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, Problem):
                results.append({"index": index, "problem": describe_problem(outcome)})
            else:
                milliseconds = {name: 1000 * s for name, s in outcome.seconds.items()}
                results.append(
                    {
                        "index": index,
                        **_describe_predictions(outcome),
                        "image": _describe_image(outcome),
                        "timings_ms": _round(milliseconds),
                    }
                )
        body = {
            "results": results,
            **_describe_answering(model),
            "timings_ms": _round(timings),
            "request_id": exchange.context.request_id,
        }
        return Answer(200, to_json(body), [_JSON])

    def _choose(self, exchange: Exchange) -> ServedModel:
        """The requested model: the answer names it, even if it is replaced meanwhile."""
        self._lifecycle.check_open()
        return self._catalogue.choose(exchange.scope["query_string"])

    async def _classify(
        self, exchange: Exchange, model: ServedModel, most: int, is_batch: bool
    ) -> tuple[list[Classified | Problem], dict[str, float]]:
        """The result of each image, and milliseconds of the whole request by stage."""
        classifier = model.classifier
        top_k = _read_top_k(exchange, len(classifier.manifest.labels))
        wish = _read_wish(exchange, classifier, is_batch)
        level = _read_level(exchange, classifier)
        deadline = self._intake.read_deadline(exchange)
        limits = self._intake.limits
        announced = measure_announced(exchange, limits.max_bytes)
        ticket = self._intake.admit(exchange, announced, deadline, model)
        try:
            began = perf_counter()
            images = await read_images(exchange, limits, ticket, most)
            received = self._intake.count_received(exchange, began, images)
            computing = self._intake.compute(
                exchange, ticket, images, model, top_k, deadline, wish, level
            )
            del images  # so that each is let go of when it is decoded
            outcomes = await computing
        finally:
            ticket.close()
        total = perf_counter() - exchange.started
        return outcomes, {"receive": received * 1000, "total": total * 1000}


def _describe_answering(model: ServedModel) -> dict[str, Any]:
    """The facts about the model and the engine in an answer."""
    trained = model.classifier.manifest.trained
    return {
        "model": {
            "name": model.name,
            "id": model.classifier.model_id,
            "trained": trained,
            "notice": None if trained else UNTRAINED,
        },
        "engine": model.classifier.engine_name,
    }


def _describe_predictions(outcome: Classified) -> dict[str, Any]:
    """The best labels; of a model that can say it, whether the image shows one at all; and the
    hedged answer, if it was asked for.
    """
    predictions = [
        {"label": item.label, "index": item.index, "score": item.score}
        for item in outcome.predictions
    ]
    body: dict[str, Any] = {"predictions": predictions}
    if outcome.known is not None:
        body |= {"known": outcome.known, "notice": outcome.notice}
    if outcome.hedged is not None:
        body["hedged"] = outcome.hedged
    return body


def _describe_image(outcome: Classified) -> dict[str, Any]:
    image = outcome.image
    return {"format": image.format, "width": image.width, "height": image.height}


def _round(milliseconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in milliseconds.items()}


def _read_top_k(exchange: Exchange, classes: int) -> int:
    """An explicit top_k above the number of classes is a mistake; the default adapts."""
    query: bytes = exchange.scope["query_string"]
    if not query:
        return min(DEFAULT_TOP_K, classes)
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("top_k")
    if values is None:
        return min(DEFAULT_TOP_K, classes)
    text = values[-1]
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= classes):
        found = "a number outside of that" if text.isascii() and text.isdigit() else "no number"
        raise Problem(
            "invalid_parameter",
            f"top_k: expected a whole number from 1 to {classes}, the count of classes; "
            f"found {found}. Change it, or leave it out.",
        )
    return int(text)


def _read_wish(exchange: Exchange, classifier: Classifier, is_batch: bool) -> Wish | None:
    query: bytes = exchange.scope["query_string"]
    if not query:
        return None
    if is_batch:
        refuse_wish(query)
        return None
    return read_wish(query, classifier)


def _read_level(exchange: Exchange, classifier: Classifier) -> Level | None:
    query: bytes = exchange.scope["query_string"]
    return read_level(query, classifier) if query else None
