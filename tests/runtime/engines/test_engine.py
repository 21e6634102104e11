"""runtime.engines.engine: order of preference, visible fallback, named engines never fall back."""

import importlib
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from runtime import (
    ENGINES,
    InvalidInput,
    Known,
    NoEngine,
    RuntimeFault,
    load_engine,
    read_bundle,
    run_self_test,
)
from runtime.bundle import ONNX_GRAPH, WEIGHTS, Bundle, write_bundle
from runtime.engines.engine import check_images
from runtime.errors import (
    ImplementationUnavailable,
    InvalidManifest,
    InvalidRecord,
    NativeUnavailable,
    WrongAnswer,
)
from tests.runtime.bundles import make_bundle, make_images


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    from models.export.__main__ import main

    path = tmp_path_factory.mktemp("engine") / "bundle"
    assert (
        main(["meliusnet13", "--num-classes", "3", "--image-size", "16", "--out", str(path)]) == 0
    )
    return read_bundle(path)


def without(bundle: Bundle, *names: str) -> Bundle:
    files = {k: v for k, v in bundle.manifest.files.items() if k not in names}
    return Bundle(bundle.path, replace(bundle.manifest, files=files))


def test_native_comes_first(bundle: Bundle) -> None:
    engine = load_engine(bundle)
    assert engine.name == "native"
    assert engine.skipped == ()


def test_every_engine_has_the_logit_of_none_of_these(tmp_path: Path) -> None:
    """The weights are those of 7 classes: what is written of the last logit changes no bit."""
    known = Known("other", slope=1.0, offset=0.0, threshold=0.5)
    plain = make_bundle(tmp_path / "plain")
    bundle = make_bundle(tmp_path / "known", known=known, self_test=True)
    assert (bundle.manifest.classes, bundle.manifest.logits) == (6, 7)
    images = make_images(bundle.manifest.plan, 3)
    for name in ENGINES:
        engine = load_engine(bundle, name)
        logits = engine.predict(images)
        assert logits.tobytes() == load_engine(plain, name).predict(images).tobytes()
        assert 0 <= known.estimate(logits[0]) <= 1
        assert run_self_test(engine).verdict in ("exact", "within bound")
        if engine.explains:
            assert engine.explain(images, 5).shape[0] == 3
            with pytest.raises(InvalidInput, match="a class from 0 to 5, found 6"):
                engine.explain(images, 6)


def test_a_graph_with_more_logits_than_the_manifest_says_is_refused(
    tmp_path: Path, repository: Path
) -> None:
    """Of a network without a plan the graph alone tells how many logits there are."""
    bundle = read_bundle(repository / "service" / "bundles" / "mobilenet_v1")
    assert bundle.manifest.known is not None  # its source is one more logit
    files = {name: bundle.path / name for name in bundle.manifest.files}
    wrong = write_bundle(tmp_path / "b", replace(bundle.manifest, known=None), files)
    with pytest.raises(InvalidManifest, match="input and labels say"):
        load_engine(wrong, "onnx")


def test_fallback_is_logged_and_kept(repository: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "runtime.engines.engine"):
        engine = load_engine(repository / "service" / "bundles" / "mobilenet_v1")
    assert engine.name == "onnx"
    assert [item.name for item in engine.skipped] == ["native", "torchscript"]
    assert "packed.safetensors" in engine.skipped[0].reason
    assert {item.cause for item in engine.skipped} == {"not_in_bundle"}
    assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG", "INFO"]
    assert "engine torchscript has no files in this bundle" in caplog.text
    assert "engine onnx/" in caplog.text


def test_an_engine_that_is_not_installed_is_one_short_line_for_debugging(bundle: Bundle) -> None:
    """Met only where the kernels do not load."""
    code = (
        "import logging, sys; sys.modules['torch'] = None\n"
        "form = '%(levelname)s %(message)s'\n"
        "logging.basicConfig(level='DEBUG', format=form, stream=sys.stdout)\n"
        "import runtime\n"
        "from runtime.engines.native_engine import NativeEngine\n"
        "predict = NativeEngine.predict\n"
        "NativeEngine.predict = lambda self, images: predict(self, images)[:, ::-1].copy()\n"
        f"engine = runtime.load_engine({str(bundle.path)!r})\n"
        "print(engine.name, *(item.cause for item in engine.skipped))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    wrong, skipped, loaded, summary = done.stdout.splitlines()
    assert wrong.startswith("WARNING engine native cannot be used: ")
    assert skipped == "DEBUG engine torchscript is not installed"
    assert loaded.startswith("INFO engine onnx/")
    assert summary == "onnx failed not_installed"


def test_an_engine_that_is_installed_and_fails_is_a_warning_with_the_reason(
    bundle: Bundle, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise NativeUnavailable("expected a library that loads, found a broken one")

    monkeypatch.setattr("runtime.engines.native_engine.NativeEngine.__init__", broken)
    with caplog.at_level(logging.INFO, "runtime.engines.engine"):
        engine = load_engine(without(bundle, "model.ts"))
    assert [item.cause for item in engine.skipped] == ["failed", "not_in_bundle"]
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert warning.getMessage() == (
        "engine native cannot be used: expected a library that loads, found a broken one"
    )


def test_a_bundle_of_the_onnx_graph_alone_has_nothing_that_failed(repository: Path) -> None:
    engine = load_engine(repository / "service" / "bundles" / "mobilenet_v1")
    assert [item.cause for item in engine.skipped] == ["not_in_bundle"] * 2


def test_no_engine_has_every_reason(bundle: Bundle) -> None:
    nothing = without(bundle, "model.ts", "packed.safetensors", ONNX_GRAPH)
    with pytest.raises(NoEngine) as caught:
        load_engine(nothing)
    for name in ENGINES:
        assert f"{name}: " in str(caught.value)


@pytest.mark.parametrize("name", ENGINES)
def test_named_engine_never_falls_back(bundle: Bundle, name: str) -> None:
    with pytest.raises(RuntimeFault):
        load_engine(without(bundle, "model.ts", "packed.safetensors", ONNX_GRAPH), name)
    assert load_engine(bundle, name).name == name


def test_all_engines_give_the_same_answer(bundle: Bundle) -> None:
    images = np.random.default_rng(1).standard_normal((4, 3, 16, 16)).astype(np.float32)
    native, torchscript, onnx = (load_engine(bundle, n).predict(images) for n in ENGINES)
    assert np.array_equal(torchscript, native)
    assert np.abs(native - onnx).max() < 1e-3


def test_wrong_names_and_threads_are_refused(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="expected auto, native, torchscript, onnx"):
        load_engine(bundle, "fast")
    with pytest.raises(ValueError, match="expected at least 1"):
        load_engine(bundle, threads=0)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 3, 16, 16)),
        np.zeros((3, 16, 16), np.float32),
        np.zeros((0, 3, 16, 16), np.float32),
        np.zeros((1, 3, 16, 17), np.float32),
        np.full((1, 3, 16, 16), np.nan, np.float32),
        [[1.0]],
    ],
)
def test_wrong_images_are_refused_by_every_engine(
    bundle: Bundle, name: str, images: np.ndarray
) -> None:
    with pytest.raises(InvalidInput, match="expected"):
        load_engine(bundle, name).predict(images)


def test_strided_images_are_accepted() -> None:
    images = np.ones((1, 4, 4, 3), np.float32).transpose(0, 3, 1, 2)
    assert check_images(images, (3, 4, 4)).flags.c_contiguous


def test_missing_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFault, match=r"manifest\.json"):
        load_engine(tmp_path)


def test_kernels_asked_for_by_name_have_no_substitute(bundle: Bundle) -> None:
    code = f"import runtime; runtime.load_engine({str(bundle.path)!r})"
    environment = {**os.environ, "BNN_FORCE_IMPLEMENTATION": "avx1024"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ImplementationUnavailable" in done.stderr
    assert "generic" in done.stderr  # the available ones are listed


def test_a_family_of_kernels_that_is_none_is_no_fault_of_the_bundle(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BNN_FORCE_KERNEL", "fastest")
    with pytest.raises(
        ImplementationUnavailable, match=r"expected popcount or sliced, found 'fastest'$"
    ):
        load_engine(bundle)


def test_kernels_asked_for_by_name_without_a_library_end_the_search(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise NativeUnavailable("expected libbnn, found it nowhere")

    monkeypatch.setitem(ENGINES, "torchscript", ENGINES["native"])
    monkeypatch.setattr("runtime.engines.native_engine.NativeEngine.__init__", missing)
    monkeypatch.setenv("BNN_FORCE_IMPLEMENTATION", "generic")
    with pytest.raises(ImplementationUnavailable, match="=generic asks for kernels, but: expected"):
        load_engine(bundle)
    monkeypatch.delenv("BNN_FORCE_IMPLEMENTATION")
    assert load_engine(bundle).name == "onnx"


def spoil(monkeypatch: pytest.MonkeyPatch, *engines: str) -> None:
    """Makes engines answer wrongly."""
    for name in engines:
        module, class_name, _ = ENGINES[name]
        predict = getattr(importlib.import_module(module), class_name).predict
        monkeypatch.setattr(
            f"{module}.{class_name}.predict",
            lambda self, images, predict=predict: predict(self, images)[:, ::-1].copy(),
        )


def test_engine_that_answers_wrongly_is_skipped_and_named(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(monkeypatch, "torchscript", "native")
    engine = load_engine(bundle)
    assert engine.name == "onnx"
    assert [item.name for item in engine.skipped] == ["native", "torchscript"]
    for item in engine.skipped:
        assert f"expected the engine {item.name}/" in item.reason
        assert "to a stored image within" in item.reason
    assert "engine native cannot be used" in caplog.text
    for name in ("torchscript", "native"):
        with pytest.raises(WrongAnswer):
            load_engine(bundle, name)


def test_bundle_to_which_every_engine_answers_otherwise_is_refused(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, *ENGINES)
    with pytest.raises(NoEngine) as caught:
        load_engine(bundle)
    for name in ENGINES:
        assert f"{name}: " in str(caught.value)


def test_kernels_asked_for_by_name_that_answer_wrongly_end_the_search(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, "torchscript", "native")
    monkeypatch.setenv("BNN_FORCE_IMPLEMENTATION", "generic")
    with pytest.raises(
        ImplementationUnavailable, match=r"=generic asks for kernels, but: .*stored"
    ):
        load_engine(bundle)


def test_loading_predicts_one_image(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime.engines.native_engine import NativeEngine

    seen: list[int] = []
    predict = NativeEngine.predict

    def count(self: NativeEngine, images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        return predict(self, images)

    monkeypatch.setattr(NativeEngine, "predict", count)
    load_engine(bundle, "native")
    assert seen == [1]


def test_bundle_that_is_wrong_in_itself_has_no_fallback(bundle: Bundle, tmp_path: Path) -> None:
    """Weights that do not fit the plan; the onnx engine does not look at the plan."""
    files = {name: bundle.path / name for name in bundle.manifest.files}
    tensors = load_file(files[WEIGHTS])
    tensors["head.bias"] = np.full(3, np.nan, np.float32)
    save_file(tensors, tmp_path / WEIGHTS)
    wrong = write_bundle(
        tmp_path / "wrong", bundle.manifest, {**files, WEIGHTS: tmp_path / WEIGHTS}
    )
    with pytest.raises(InvalidRecord, match=r"head\.bias: expected finite values"):
        load_engine(wrong)


def test_torch_stays_out_of_memory_where_the_bundle_has_no_graph_for_it(bundle: Bundle) -> None:
    code = (
        "import sys, dataclasses, runtime\n"
        f"bundle = runtime.read_bundle({str(bundle.path)!r})\n"
        "files = {k: v for k, v in bundle.manifest.files.items() if k != 'model.ts'}\n"
        "manifest = dataclasses.replace(bundle.manifest, files=files)\n"
        "engine = runtime.load_engine(runtime.Bundle(bundle.path, manifest))\n"
        "print(engine.name, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["native", "False"]
