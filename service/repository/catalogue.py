"""Finds the models that answer by their names, and the default one where none is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs

from runtime import ImageLimits
from service.messages.problems import Problem
from service.repository.names import may_name_model
from service.repository.served import ServedModel


class Catalogue:
    """The models by name, and why others cannot be served. Changed on the event loop alone.

    `check_started` raises the Problem that there is while nothing has been loaded.
    """

    def __init__(self, check_started: Callable[[], None]) -> None:
        self._check_started = check_started
        self._models: dict[str, ServedModel] = {}
        self._default: ServedModel | None = None
        #: Name -> why its newest bundle is not served; an older one of that name may be.
        self.faults: dict[str, str] = {}

    @property
    def default(self) -> ServedModel:
        """The model where a request names none. Raises Problem not_ready or no_engine."""
        if self._default is None:
            self._check_started()
            raise AssertionError("started without a model")
        return self._default

    def list(self) -> list[ServedModel]:
        """All of them, the default one first, then by name. Raises Problem as `default` does."""
        default = self.default
        return [default, *(m for _, m in sorted(self._models.items()) if m is not default)]

    def find(self, name: str | None) -> ServedModel:
        """The model of this name; None: the default one.

        Raises Problem model_not_found beside those of `default`.
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
        """Those that are served."""
        return frozenset(self._models)

    @property
    def served(self) -> int:
        """How many there are."""
        return len(self._models)

    def put(self, model: ServedModel, is_default: bool = False) -> None:
        """Serves a model from now on, in place of the one that has its name.

        A default one replaces the default one, whatever that was called.
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
        """Serves this one no more; not the default one."""
        removed = self._models.pop(name)
        assert removed is not self._default, "the default model stays"
        return removed

    def limit(self, limits: ImageLimits) -> None:
        """Lets every model read images within these limits."""
        for model in list(self._models.values()):
            if model.classifier.limits != limits:
                limited = replace(model, classifier=model.classifier.with_limits(limits))
                self._models[model.name] = limited
                if model is self._default:
                    self._default = limited

    def clear(self) -> None:
        """Lets go of all of them."""
        self._models.clear()
        self._default = None
