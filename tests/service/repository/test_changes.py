"""service.repository.changes: models come, are swapped and go, while others answer."""

import asyncio
import logging
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import runtime.bundle
import service.repository.changes
import service.repository.loading
from service.app import create_app
from service.memory.budget import Budget, NoMemory
from service.messages.problems import Problem
from service.repository.changes import Changes
from service.settings.settings import Settings

pytestmark = pytest.mark.anyio
Make = Callable[..., Path]
BIRDS = ("robin", "wren", "swift")


@pytest.fixture
def models(make_bundle: Make, tmp_path: Path) -> Path:
    """A directory with the model "birds"."""
    make_bundle(tmp_path / "models" / "birds", labels=BIRDS)
    return tmp_path / "models"


@asynccontextmanager
async def serve(
    bundle: Path, models: Path | None, **changes: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with real bundles."""
    app = create_app(Settings(bundle=bundle, models=models, engine="onnx", **changes))
    async with app.lifespan():
        await app.state.inference.wait()
        assert app.state.lifecycle.fault is None
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            client.app = app  # type: ignore[attr-defined]
            yield client


def find_changes(client: Any) -> Changes:
    changes: Changes = client.app.state.inference.changes
    return changes


async def ask(client: httpx.AsyncClient, make_image: Any, model: str | None = None) -> str:
    """The best label of a red image."""
    query = {} if model is None else {"model": model}
    answer = await client.post("/classify", content=make_image("red"), params=query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"]["name"] == (model or "tiny")
    label: str = answer.json()["predictions"][0]["label"]
    return label


def replace_bundle(folder: Path, make: Callable[[Path], object]) -> None:
    """As the documentation says: written beside it, then renamed."""
    make(folder.with_name(".new"))
    folder.rename(folder.with_name(".old"))
    folder.with_name(".new").rename(folder)
    shutil.rmtree(folder.with_name(".old"))


async def test_each_folder_is_a_model(bundle: Path, models: Path, make_image: Any) -> None:
    async with serve(bundle, models) as client:
        assert await ask(client, make_image) == "red"
        assert await ask(client, make_image, "birds") == "robin"
        assert await ask(client, make_image, "tiny") == "red"
        listed = (await client.get("/models")).json()
        assert [(m["name"], m["is_default"]) for m in listed["models"]] == [
            ("tiny", True),
            ("birds", False),
        ]
        assert listed["failed"] == []
        assert (await client.get("/info?model=birds")).json()["model"]["labels"] == list(BIRDS)
        assert (await client.get("/info")).json()["model"]["name"] == "tiny"
        for path in ("/info", "/classify", "/classify/batch"):
            verb = "GET" if path == "/info" else "POST"
            answer = await client.request(verb, path, params={"model": "nobody"})
            assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")
        batch = await client.post(
            "/classify/batch?model=birds", files=[("image", make_image("lime"))] * 2
        )
        assert [r["predictions"][0]["label"] for r in batch.json()["results"]] == ["wren"] * 2
        metrics = (await client.get("/metrics")).text
        assert 'bnn_model_images_total{model="birds"} 3.0' in metrics
        assert 'bnn_models{state="served"} 2.0' in metrics


async def test_a_reading_makes_it_as_the_directory_is(
    bundle: Path, models: Path, make_bundle: Make, make_image: Any
) -> None:
    async with serve(bundle, models) as client:
        changes = find_changes(client)
        assert (await changes.reload()).unchanged == ["tiny", "birds"]
        make_bundle(models / "cats", labels=("tabby", "tom", "lynx"))
        replace_bundle(
            models / "birds", lambda path: make_bundle(path, labels=("crow", "jay", "rook"))
        )
        report = await changes.reload()
        assert (sorted(report.loaded), report.unchanged) == (["birds", "cats"], ["tiny"])
        assert await ask(client, make_image, "birds") == "crow"
        assert await ask(client, make_image, "cats") == "tabby"
        shutil.rmtree(models / "birds")
        report = await changes.reload()
        assert (report.unloaded, report.unchanged) == (["birds"], ["tiny", "cats"])
        answer = await client.post("/classify?model=birds", content=make_image())
        assert answer.json()["code"] == "model_not_found"


async def test_the_default_bundle_is_read_again(
    models: Path, make_bundle: Make, tmp_path: Path, make_image: Any
) -> None:
    folder = make_bundle(tmp_path / "own")
    async with serve(folder, None) as client:
        replace_bundle(folder, lambda path: make_bundle(path, labels=("rouge", "vert", "bleu")))
        predictor = client.app.state.inference.predictor  # type: ignore[attr-defined]
        assert (await find_changes(client).reload()).loaded == ["tiny"]
        assert await ask(client, make_image) == "rouge"
        default = client.app.state.inference.catalogue.default  # type: ignore[attr-defined]
        assert default.predictor is predictor
        replace_bundle(folder, lambda path: make_bundle(path, name="other"))
        await find_changes(client).reload()
        listed = (await client.get("/models")).json()["models"]
        assert [model["name"] for model in listed] == ["other"]


async def test_a_default_bundle_in_the_directory_has_its_folders_name(
    models: Path, make_bundle: Make, make_image: Any
) -> None:
    make_bundle(models / "cats", labels=("tabby", "tom", "lynx"))
    async with serve(models / "cats", models) as client:
        listed = (await client.get("/models")).json()["models"]
        assert [model["name"] for model in listed] == ["cats", "birds"]
        assert await ask(client, make_image, "cats") == "tabby"
        assert (await find_changes(client).reload()).unchanged == ["cats", "birds"]


def spoil(path: Path) -> None:
    """Another graph than the manifest says."""
    (path / "model.onnx").write_bytes(b"spoiled")


async def test_a_bundle_that_cannot_be_served_leaves_the_old_one(
    bundle: Path,
    models: Path,
    make_bundle: Make,
    make_image: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve(bundle, models) as client:
        replace_bundle(
            models / "birds",
            lambda path: spoil(make_bundle(path, labels=("crow", "jay", "rook"))),
        )
        caplog.clear()
        report = await find_changes(client).reload()
        assert report.failed == ["birds"]
        assert await ask(client, make_image, "birds") == "robin"
        lines = [r for r in caplog.records if r.message == "a model cannot be served"]
        assert [(r.levelno, r.model, r.still_served) for r in lines] == [  # type: ignore[attr-defined]
            (logging.ERROR, "birds", True)
        ]
        listed = (await client.get("/models")).json()
        assert [model["is_newest"] for model in listed["models"]] == [True, False]
        index = (await client.post("/v2/repository/index")).json()
        assert [(m["state"], bool(m["reason"])) for m in index if m["name"] == "birds"] == [
            ("READY", True)
        ]
        make_bundle(models / "cats_image")
        await find_changes(client).reload()
        assert (await client.get("/models")).json()["failed"] == ["cats_image"]
        index = (await client.post("/v2/repository/index")).json()
        assert index[-1]["state"] == "UNAVAILABLE"
        assert 'bnn_models{state="failed"} 2.0' in (await client.get("/metrics")).text
        replace_bundle(models / "birds", lambda path: make_bundle(path, labels=BIRDS))
        assert (await find_changes(client).reload()).failed == ["cats_image"]
        assert [m["is_newest"] for m in (await client.get("/models")).json()["models"]] == [
            True
        ] * 2


async def test_at_the_start_one_broken_bundle_ends_no_other(
    bundle: Path, models: Path, make_bundle: Make, make_image: Any
) -> None:
    spoil(make_bundle(models / "apes"))
    async with serve(bundle, models) as client:
        assert await ask(client, make_image, "birds") == "robin"
        assert (await client.get("/models")).json()["failed"] == ["apes"]
        assert (await client.get("/readyz")).status_code == 200


async def test_a_name_is_served_once(bundle: Path, models: Path, make_bundle: Make) -> None:
    make_bundle(models / "tiny", labels=BIRDS)
    async with serve(bundle, models) as client:
        listed = (await client.get("/models")).json()
        assert [model["name"] for model in listed["models"]] == ["tiny", "birds"]
        fault = client.app.state.inference.catalogue.faults["tiny"]  # type: ignore[attr-defined]
        assert "Rename" in fault


async def test_a_directory_that_cannot_be_read_changes_nothing(
    bundle: Path, models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(bundle, models) as client:
        models.rename(models.with_name("moved"))
        report = await find_changes(client).reload()
        assert (report.unloaded, report.loaded, report.failed) == ([], [], [])
        listed = (await client.get("/models")).json()["models"]
        assert [model["name"] for model in listed] == ["tiny", "birds"]
        assert listed[0]["is_newest"]
        with pytest.raises(Problem, match="expected a directory of models that can be read"):
            await find_changes(client).load("birds")
        assert any(r.message == "the models stay as they were" for r in caplog.records)


async def test_loads_and_unloads_one(
    bundle: Path, models: Path, make_bundle: Make, make_image: Any
) -> None:
    async with serve(bundle, models) as client:
        changes = find_changes(client)
        await changes.unload("birds")
        with pytest.raises(Problem, match="model_not_found"):
            await changes.unload("birds")
        with pytest.raises(Problem, match="model_not_loaded"):
            await changes.unload("tiny")
        for name in ("nobody", "../own", ""):
            with pytest.raises(Problem, match="model_not_found"):
                await changes.load(name)
        await changes.load("birds")
        assert await ask(client, make_image, "birds") == "robin"
        await changes.load("tiny")
        assert await ask(client, make_image) == "red"
        spoil(make_bundle(models / "cats"))
        with pytest.raises(Problem, match="model_not_loaded"):
            await changes.load("cats")


async def test_what_has_begun_ends_with_the_model_that_it_began_with(
    bundle: Path, models: Path, make_bundle: Make, make_image: Any
) -> None:
    async with serve(bundle, models, workers=1) as client:
        catalogue = client.app.state.inference.catalogue  # type: ignore[attr-defined]
        engine = catalogue.find("birds").engine
        entered, gate, predict = threading.Event(), threading.Event(), engine.predict

        def wait(*arguments: Any) -> Any:
            entered.set()
            assert gate.wait(30)
            return predict(*arguments)

        engine.predict = wait
        first = asyncio.create_task(ask(client, make_image, "birds"))
        await asyncio.to_thread(entered.wait, 30)
        second = asyncio.create_task(ask(client, make_image, "birds"))  # waits, for the old one
        while not client.app.state.inference.scheduler.waiting:  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)
        replace_bundle(
            models / "birds", lambda path: make_bundle(path, labels=("crow", "jay", "rook"))
        )
        await find_changes(client).reload()
        third = asyncio.create_task(ask(client, make_image, "birds"))
        gate.set()
        assert [await task for task in (first, second, third)] == ["robin", "robin", "crow"]


async def test_a_model_beyond_the_budget_is_refused_before_it_is_loaded(
    bundle: Path, models: Path, monkeypatch: pytest.MonkeyPatch, make_image: Any
) -> None:
    async with serve(bundle, models) as client:
        budget = client.app.state.budget  # type: ignore[attr-defined]
        base, limits = budget.base, budget.limits
        monkeypatch.setattr(service.repository.changes, "estimate_load_bytes", lambda *_: 2**50)
        monkeypatch.setattr(service.repository.loading, "load_engine", None)  # is not called
        with pytest.raises(Problem, match=r"MiB of memory .* found \d+ MiB"):
            await find_changes(client).load("birds")
        assert (budget.base, budget.limits) == (base, limits)
        assert await ask(client, make_image, "birds") == "robin"


async def test_what_a_model_takes_is_taken_off_the_budget(
    bundle: Path, models: Path, make_image: Any
) -> None:
    async with serve(bundle, models) as client:
        budget = client.app.state.budget  # type: ignore[attr-defined]
        catalogue = client.app.state.inference.catalogue  # type: ignore[attr-defined]
        base, kept = budget.base, catalogue.find("birds").kept_bytes
        await find_changes(client).unload("birds")
        assert budget.base == base - kept
        await find_changes(client).load("birds")
        await find_changes(client).load("birds")
        assert budget.base == base
        assert budget.decoding.held == 0


async def test_a_bundle_is_read_once_for_each_time_that_it_is_loaded(
    bundle: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, folders = runtime.bundle.read_manifest, []

    def count(file: Path) -> Any:
        folders.append(file.parent)
        return read(file)

    monkeypatch.setattr(runtime.bundle, "read_manifest", count)
    async with serve(bundle, models) as client:
        await find_changes(client).load("birds")
    assert folders == [bundle, models / "birds", models / "birds"]


async def test_an_unexpected_failure_leaves_the_old_one(
    bundle: Path, models: Path, monkeypatch: pytest.MonkeyPatch, make_image: Any
) -> None:
    async with serve(bundle, models) as client:

        def fail(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError("what nobody thought of")

        monkeypatch.setattr(service.repository.changes, "load_model", fail)
        with pytest.raises(Problem, match="ZeroDivisionError"):
            await find_changes(client).load("birds")
        assert await ask(client, make_image, "birds") == "robin"


async def test_a_folder_without_its_manifest_leaves_the_old_one(
    bundle: Path, models: Path, make_image: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(bundle, models) as client:
        changes = find_changes(client)
        for spoiled in ("nothing", "a link to nowhere"):
            (models / "birds").rename(models / ".old")
            if spoiled == "nothing":
                (models / "birds").mkdir()
            else:
                (models / "birds").symlink_to("nowhere")
            report = await changes.reload()
            assert (report.failed, report.unloaded) == (["birds"], [])
            assert await ask(client, make_image, "birds") == "robin"
            listed = (await client.get("/models")).json()
            assert [model["is_newest"] for model in listed["models"]] == [True, False]
            with pytest.raises(Problem, match="model_not_loaded"):
                await changes.load("birds")
            (models / "birds").rmdir() if spoiled == "nothing" else (models / "birds").unlink()
            (models / ".old").rename(models / "birds")
            assert (await changes.reload()).unchanged == ["tiny", "birds"]
        assert all(
            record.still_served  # type: ignore[attr-defined]
            for record in caplog.records
            if record.message == "a model cannot be served"
        )


async def test_the_default_one_fails_once_where_it_stands_in_the_directory(
    models: Path, make_image: Any
) -> None:
    async with serve(models / "birds", models) as client:
        (models / "birds" / "manifest.json").unlink()
        assert (await find_changes(client).reload()).failed == ["birds"]
        assert await ask(client, make_image, "birds") == "robin"
        metrics = (await client.get("/metrics")).text
        assert 'bnn_model_changes_total{result="failed"} 1.0' in metrics


async def test_names_that_are_no_text_are_listed(bundle: Path, models: Path) -> None:
    try:
        os.mkdir(os.fsencode(models) + b"/caf\xe9")
    except OSError:
        pytest.skip("this file system takes no such names")
    async with serve(bundle, models) as client:
        assert (await client.get("/models")).json()["failed"] == ["caf\\xe9"]
        index = (await client.post("/v2/repository/index")).json()
        assert index[-1]["name"] == "caf\\xe9"


async def test_a_default_bundle_of_another_name_ends_the_fault(
    make_bundle: Make, tmp_path: Path
) -> None:
    folder = make_bundle(tmp_path / "own")
    async with serve(folder, None) as client:
        replace_bundle(folder, lambda path: spoil(make_bundle(path, labels=BIRDS)))
        assert (await find_changes(client).reload()).failed == ["tiny"]
        replace_bundle(folder, lambda path: make_bundle(path, name="other"))
        await find_changes(client).reload()
        assert (await client.get("/models")).json()["failed"] == []


async def test_what_a_model_keeps_is_known_before_it_is_loaded(
    bundle: Path, models: Path, monkeypatch: pytest.MonkeyPatch, make_image: Any
) -> None:
    async with serve(bundle, models) as client:
        monkeypatch.setattr(service.repository.changes, "estimate_kept_bytes", lambda *_: 2**50)
        monkeypatch.setattr(service.repository.loading, "load_engine", None)  # is not called
        with pytest.raises(Problem, match="expected a memory budget of at least"):
            await find_changes(client).load("birds")
        assert await ask(client, make_image, "birds") == "robin"


@pytest.mark.parametrize("kept", [["tiny", "ants"], ["tiny"]])
async def test_at_the_start_models_that_are_too_many_end_no_other(
    bundle: Path,
    models: Path,
    make_bundle: Make,
    make_image: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kept: list[str],
) -> None:
    """What the process takes is measured when all are there: more than was planned."""
    make_bundle(models / "ants", labels=("wood", "fire", "army"))
    settle, settled = Budget.settle, []

    def find_too_many(budget: Budget, pixels: int, is_final: bool = True) -> None:
        settled.append(is_final)
        if is_final and (len(settled) < 3 or kept == ["tiny"]):  # birds go, then it fits or not
            raise NoMemory("expected a memory budget of at least 300 MiB for this model")
        settle(budget, pixels, is_final)

    monkeypatch.setattr(Budget, "settle", find_too_many)
    async with serve(bundle, models) as client:
        listed = (await client.get("/models")).json()
        assert [model["name"] for model in listed["models"]] == kept
        assert listed["failed"] == [name for name in ("ants", "birds") if name not in kept]
        assert await ask(client, make_image) == "red"
        warned = "the process takes more memory than planned" in caplog.text
        assert warned is (kept == ["tiny"])


async def test_the_end_waits_for_one_model_and_not_for_all(
    bundle: Path, models: Path, make_bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ants", "bees"):
        make_bundle(models / name)
    entered, gate = asyncio.Event(), threading.Event()
    loop, loaded = asyncio.get_running_loop(), []
    load = service.repository.changes.load_model

    def wait(folder: Any, settings: Settings, name: str | None, **options: Any) -> Any:
        loaded.append(name)
        if name == "ants":
            loop.call_soon_threadsafe(entered.set)
            assert gate.wait(30)
        return load(folder, settings, name, **options)

    monkeypatch.setattr(service.repository.changes, "load_model", wait)
    app = create_app(Settings(bundle=bundle, models=models, engine="onnx"))
    async with app.lifespan():
        async with asyncio.timeout(60):  # a fault before it is logged, and nothing would come
            await entered.wait()
        late = asyncio.create_task(app.state.inference.changes.load("birds"))
        loop.call_later(0.05, gate.set)
    assert loaded == [None, "ants"]
    with pytest.raises(Problem, match="draining"):
        await late
