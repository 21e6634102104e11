"""Classifies images by name: the work of every process of a bulk run."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from runtime import InvalidImage, Level, load_engine
from service.bulk.object_store import is_url, read_url
from service.bulk.rows import Row, describe_failure
from service.classification.certainty import describe_hedged
from service.classification.classifier import Classifier, describe_unknown
from service.messages.problems import NO_MEMORY, describe_image_fault
from service.settings.settings import Settings

_log = logging.getLogger(__name__)
_AHEAD = 4  # files behind URLs that are read while an image is computed


class ImageWorker:
    """Classifies images one after another; can be pickled, and then loads its model again.

    A name is a local path or a URL for fsspec.
    """

    def __init__(
        self,
        settings: Settings,
        top_k: int | None,
        threads: int = 1,
        certainty: float | None = None,
    ) -> None:
        """`top_k`: classes of each image, None for the default; `threads`: of one inference;
        `certainty`: that a hedged answer is to have, None for no such answer.
        """
        self._arguments = settings, top_k, threads, certainty
        self._limit = settings.max_body_bytes
        self._loaded: tuple[Classifier, int] | None = None
        self._level: Level | None = None
        self._readers: ThreadPoolExecutor | None = None

    def __reduce__(
        self,
    ) -> tuple[type["ImageWorker"], tuple[Settings, int | None, int, float | None]]:
        return ImageWorker, self._arguments

    def load(self) -> tuple[Classifier, int]:
        """The model, loaded at the first call, and the number of classes per image.

        Raises RuntimeFault, InvalidTopK, NoHierarchy, InvalidCertainty.
        """
        if self._loaded is None:
            settings, top_k, threads, certainty = self._arguments
            engine = load_engine(settings.bundle, settings.engine, threads)
            classifier = Classifier(engine, settings.image_limits)
            self._level = None if certainty is None else classifier.find_level(certainty)
            self._loaded = classifier, classifier.resolve_top_k(top_k)
        return self._loaded

    def classify(self, names: Sequence[str]) -> list[Row]:
        """A row for each name, in their order; an image that cannot be used gets an error row.

        Raises RuntimeFault, InvalidTopK, at the first call: the model cannot be used.
        """
        return list(self.classify_each(names))

    def classify_each(self, names: Sequence[str]) -> Iterator[Row]:
        """As `classify`, one row after another."""
        self.load()
        for name, read in self._read_ahead(names):
            yield self.classify_one(name, read)

    def classify_one(self, name: str, read: Callable[[], bytes]) -> Row:
        """The row of the image whose bytes `read` returns, at most one more than the limit.

        Raises RuntimeFault, InvalidTopK, at the first call.
        """
        classifier, top_k = self.load()
        try:
            data = read()
        except MemoryError:
            return describe_failure(name, "out_of_memory", NO_MEMORY)
        except OSError as fault:
            return describe_failure(name, "unreadable", fault.strerror or str(fault))
        except Exception as fault:  # a store raises what its library does
            return describe_failure(name, "unreadable", f"{type(fault).__name__}: {fault}")
        try:
            image = classifier.prepare(data)
            logits, seconds = classifier.infer(image.tensor[np.newaxis], self._arguments[2])
            predictions = classifier.rank(logits[0], top_k)
            known = classifier.estimate_known(logits[0])
            hedged = None if self._level is None else classifier.hedge(logits[0], self._level)
        except MemoryError:
            return describe_failure(name, "out_of_memory", NO_MEMORY)
        except InvalidImage as fault:
            return describe_failure(name, describe_image_fault(fault).code, str(fault))
        except Exception as fault:
            _log.exception("an image could not be classified")
            return describe_failure(name, "internal", f"{type(fault).__name__}: {fault}")
        classes = classifier.manifest.classes
        return Row(
            name=name,
            predictions=tuple(predictions),
            model=classifier.manifest.name,
            trained=classifier.manifest.trained,
            engine=classifier.engine_name,
            infer_ms=round(1000 * seconds, 3),
            known=known,
            notice=describe_unknown(classifier.manifest, known),
            hedged=hedged,
            hedged_text=None if hedged is None else describe_hedged(hedged, classes),
        )

    def _read_ahead(self, names: Sequence[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Each name with the function that reads its bytes; URLs are read in advance."""
        waiting: deque[Future[bytes]] = deque()
        urls = iter([name for name in names if is_url(name)])

        def ask() -> None:
            for url in urls:
                if self._readers is None:
                    self._readers = ThreadPoolExecutor(_AHEAD, "read")
                waiting.append(self._readers.submit(read_url, url, self._limit + 1))
                return

        for _ in range(_AHEAD):
            ask()
        for name in names:
            if is_url(name):
                job = waiting.popleft()
                yield name, job.result
                ask()
            else:
                yield name, lambda name=name: self._read_file(name)  # type: ignore[misc]

    def _read_file(self, name: str) -> bytes:
        with open(name, "rb") as stream:
            return stream.read(self._limit + 1)
