"""The answers to GET /info and /models: models, engine, processor, limits, versions."""

import platform
from dataclasses import asdict
from typing import Any

from runtime import Hierarchy, describe_full_size_limits
from service.memory.budget import Budget
from service.repository.catalogue import Catalogue
from service.repository.served import ServedModel
from service.routes.schemas import (
    InfoBody,
    InfoEngineBody,
    InfoModelBody,
    ModelsBody,
    SelfTestBody,
    ServedModelBody,
    SkippedBody,
)
from service.settings.settings import Settings
from service.system.cpu import count_cpus, read_cpu_features, read_cpu_model
from service.system.memory import read_memory
from service.system.versions import read_versions

_LIMITS = (
    *("max_pixels", "max_scans", "body_idle_timeout_ms", "body_min_rate", "deadline_ms"),
    *("queue_images", "max_batch_images", "workers", "decode_threads", "max_connections"),
)


def describe_models(catalogue: Catalogue) -> ModelsBody:
    """The served models, the default one first. Raises Problem not_ready, no_engine."""
    default = catalogue.default
    return ModelsBody(
        models=[
            ServedModelBody(
                name=model.name,
                is_default=model is default,
                id=model.classifier.model_id,
                trained=model.classifier.manifest.trained,
                engine=model.classifier.engine_name,
                classes=len(model.classifier.manifest.labels),
                has_known=model.classifier.manifest.known is not None,
                has_hierarchy=model.classifier.manifest.hierarchy is not None,
                is_newest=model.name not in catalogue.faults,
            )
            for model in catalogue.list()
        ],
        failed=sorted(catalogue.faults.keys() - catalogue.names),
    )


def describe_service(model: ServedModel, settings: Settings, budget: Budget) -> InfoBody:
    """The whole answer of /info."""
    classifier, self_test = model.classifier, model.self_test
    engine, manifest = classifier.engine, classifier.manifest
    return InfoBody(
        model=InfoModelBody(
            name=model.name,
            id=classifier.model_id,
            format=manifest.format,
            trained=manifest.trained,
            training=manifest.training,
            architecture=dict(manifest.architecture),
            created=dict(manifest.created),
            classes=len(manifest.labels),
            labels=list(manifest.labels),
            input={"shape": list(manifest.input), "dtype": "float32"},
            preprocessing={**asdict(manifest.preprocessing), "channel_order": "RGB"},
            temperature=manifest.temperature,
            files={name: entry.bytes for name, entry in manifest.files.items()},
            parity=dict(manifest.parity),
            quantization=manifest.quantization,
            reduction=manifest.reduction,
            known=asdict(manifest.known) if manifest.known else None,
            hierarchy=_describe_hierarchy(manifest.hierarchy) if manifest.hierarchy else None,
        ),
        engine=InfoEngineBody(
            name=engine.name,
            implementation=engine.implementation,
            requested=settings.engine,
            skipped=[
                SkippedBody(name=item.name, cause=item.cause, reason=item.reason)
                for item in engine.skipped
            ],
            threads=settings.threads,
            explains=engine.explains,
            model_bytes=engine.model_bytes,
            workspace_bytes=engine.workspace_bytes,
        ),
        self_test=SelfTestBody(
            verdict=self_test.verdict,
            reason=self_test.reason,
            images=self_test.images,
            largest_difference=self_test.largest_difference,
            bound=self_test.bound,
        ),
        cpu={
            "architecture": platform.machine(),
            "model": read_cpu_model(),
            "usable": count_cpus(),
            "features": read_cpu_features(),
        },
        limits=_describe_limits(settings, budget),
        versions=read_versions(),
        memory_bytes=read_memory(),
    )


def _describe_hierarchy(hierarchy: Hierarchy) -> dict[str, Any]:
    return {
        "certainties": [level.certainty for level in hierarchy.levels],
        "nodes": len(hierarchy.nodes),
        "images": hierarchy.images,
        "notice": hierarchy.notice,
        "measured": asdict(hierarchy.measured) if hierarchy.measured else None,
    }


def _describe_limits(settings: Settings, budget: Budget) -> dict[str, int]:
    """The limits of a request that the memory budget allows."""
    full_size = describe_full_size_limits(budget.limits.images)
    return {
        "max_body_bytes": budget.limits.max_body_bytes,
        **{name: getattr(settings, name) for name in _LIMITS},
        **{f"max_pixels_{kind.lower()}": most for kind, most in full_size.items()},
        "memory_budget": budget.limit,
    }
