"""Finds models by name, and the default model for requests without a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs

from runtime import ImageLimits
from service.messages.problems import Problem
from service.repository.names import may_name_model
from service.repository.served import ServedModel


class Catalogue:
    """The served models by name, and why others cannot be served. Changed on the event loop alone.

    `check_started` raises the right Problem while nothing has been loaded.
    """

    def __init__(self, check_started: Callable[[], None]) -> None:
        self._check_started = check_started
        self._models: dict[str, ServedModel] = {}
        self._default: ServedModel | None = None
        #: Name -> why its newest bundle is not served; an older bundle of that name may be served.
        self.faults: dict[str, str] = {}

    @property
    def default(self) -> ServedModel:
        """The model for requests that name none. Raises Problem not_ready or no_engine."""
        if self._default is None:
            self._check_started()
            raise AssertionError("started without a model")
        return self._default

    def list(self) -> list[ServedModel]:
        """All models, the default one first, then by name. Raises Problem as `default` does."""
        default = self.default
        return [default, *(m for _, m in sorted(self._models.items()) if m is not default)]

    def find(self, name: str | None) -> ServedModel:
        """The model of this name; None: the default one.

        Raises Problem model_not_found, and those of `default`.
        """
        if name is None:
            return self.default
        found = self._models.get(name)
        if found is None:
            self._check_started()
            raise Problem(
                "model_not_found",
                "expected the name of a model that is served; found another. GET /models lists "
                "them.",
            )
        return found

    def choose(self, query: bytes) -> ServedModel:
        """The model that a query string names by `model`, or the default one. Raises as `find`."""
        if not may_name_model(query):
            return self.default
        values = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("model")
        return self.find(None if values is None else values[-1])

    def get(self, name: str) -> ServedModel | None:
        """The model of this name, if it is served."""
        return self._models.get(name)

    @property
    def names(self) -> frozenset[str]:
        """The names of the served models."""
        return frozenset(self._models)

    @property
    def served(self) -> int:
        """The number of served models."""
        return len(self._models)

    def put(self, model: ServedModel, is_default: bool = False) -> None:
        """Serves a model from now on, in place of the one with the same name.

        A default model replaces the default one, even if that has another name.
        """
        before = self._default
        if is_default and before is not None:
            self._models.pop(before.name)
            self.faults.pop(before.name, None)
        if is_default or (before is not None and before.name == model.name):
            self._default = model
        self._models[model.name] = model
        self.faults.pop(model.name, None)

    def remove(self, name: str) -> ServedModel:
        """Stops serving a model that is not the default one, and returns it."""
        removed = self._models.pop(name)
        assert removed is not self._default, "the default model stays"
        return removed

    def limit(self, limits: ImageLimits) -> None:
        """Sets the limits of images for every model."""
        for model in list(self._models.values()):
            if model.classifier.limits != limits:
                limited = replace(model, classifier=model.classifier.with_limits(limits))
                self._models[model.name] = limited
                if model is self._default:
                    self._default = limited

    def clear(self) -> None:
        """Removes all models."""
        self._models.clear()
        self._default = None
