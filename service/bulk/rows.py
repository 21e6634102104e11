"""A row: the result of one image, its labels and scores or its error."""

from dataclasses import asdict, dataclass
from typing import Any

from runtime import Hedged
from service.classification.classifier import Prediction


@dataclass(frozen=True)
class RowError:
    """Why an image has no labels: one of the service's codes, or one of bulk's, and a text."""

    code: str
    detail: str


@dataclass(frozen=True)
class Row:
    """The result of one image. `error` is None if there are predictions, best first."""

    name: str  # a local path or a URL, as it was listed
    predictions: tuple[Prediction, ...] = ()
    error: RowError | None = None
    model: str = ""
    trained: bool = True
    engine: str = ""
    infer_ms: float = 0.0
    known: float | None = None  # how likely it shows a label; None: the model cannot say
    notice: str | None = None  # what to know before believing the predictions
    hedged: Hedged | None = None  # where a certainty was asked for
    hedged_text: str | None = None  # the same in words

    def as_json(self, timed: bool = False) -> dict[str, Any]:
        """The members of one line of JSON: the same for each run, unless it is `timed`."""
        if self.error is not None:
            return {"file": self.name, "error": asdict(self.error)}
        content: dict[str, Any] = {
            "file": self.name,
            "predictions": [asdict(item) for item in self.predictions],
            **({} if self.known is None else {"known": self.known, "notice": self.notice}),
            **({} if self.hedged is None else {"hedged": asdict(self.hedged)}),
            "model": self.model,
            "trained": self.trained,
            "engine": self.engine,
        }
        return content | {"infer_ms": self.infer_ms} if timed else content


def describe_failure(name: str, code: str, detail: str) -> Row:
    """The row of an image that could not be classified."""
    return Row(name, error=RowError(code, detail))
