"""The native engine: right results for any batch, thread count and concurrency; clear refusals."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from runtime import InvalidInput, load_engine
from runtime.bundle import WEIGHTS, Bundle, read_bundle
from runtime.engines import native_engine
from runtime.engines.native_engine import NativeEngine
from runtime.engines.prepare import prepare_bundle
from runtime.errors import BundleError, NativeUnavailable
from runtime.kernels import library
from runtime.kernels.network import Network
from runtime.kernels.parts import Part
from tests.runtime.bundles import make_bundle, make_images


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("native") / "bundle", graphs=False, pairs=(2, 1))


def draw_images(bundle: Bundle, count: int, seed: int = 1) -> np.ndarray:
    return make_images(bundle.manifest.plan, count, seed)


def run_parts(bundle: Bundle, images: np.ndarray) -> np.ndarray:
    x = images
    for part in prepare_bundle(bundle):
        x = library.run_part(part, x)
    return x


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_logits_are_those_of_the_parts(bundle: Bundle, count: int, threads: int) -> None:
    images = draw_images(bundle, count)
    engine = NativeEngine(bundle, threads)
    for _ in range(2):  # the second time the arena holds what the first one left
        logits = engine.predict(images)
        assert logits.dtype == np.float32
        assert np.array_equal(logits, run_parts(bundle, images))


def test_results_belong_to_the_caller(bundle: Bundle) -> None:
    engine = NativeEngine(bundle)
    first = engine.predict(draw_images(bundle, 2, seed=1))
    kept = first.copy()
    assert not np.array_equal(engine.predict(draw_images(bundle, 2, seed=2)), kept)
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("threads", [1, 2])
def test_concurrent_calls_do_not_disturb_each_other(bundle: Bundle, threads: int) -> None:
    engine = NativeEngine(bundle, threads)
    inputs = [draw_images(bundle, 1 + seed % 3, seed) for seed in range(24)]
    with ThreadPoolExecutor(6) as pool:
        outputs = list(pool.map(engine.predict, inputs))
    for images, logits in zip(inputs, outputs, strict=True):
        assert np.array_equal(logits, run_parts(bundle, images))


def test_engine_describes_itself(bundle: Bundle) -> None:
    engine = load_engine(bundle, "native")
    assert engine.name == "native"
    assert engine.implementation == library.active()
    assert engine.bundle is bundle
    assert engine.model_bytes == (bundle.path / WEIGHTS).stat().st_size
    assert engine.workspace_bytes > 0
    assert engine.skipped == ()


def test_workspace_grows_with_threads_only(bundle: Bundle) -> None:
    one, three = NativeEngine(bundle, 1), NativeEngine(bundle, 3)
    assert one.workspace_bytes < three.workspace_bytes <= 5 * one.workspace_bytes
    size = three.workspace_bytes
    three.predict(draw_images(bundle, 7))
    assert three.workspace_bytes == size


@pytest.mark.parametrize(("mapped", "calls"), [(2**30, 3), (1, 0)])
def test_workspaces_are_allocated_by_call_unless_they_are_large(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, mapped: int, calls: int
) -> None:
    monkeypatch.setattr(native_engine, "MAPPED_BYTES", mapped)
    engine = NativeEngine(bundle)
    sizes: list[int] = []
    allocate = library.allocate

    def note(size: int) -> Part:
        sizes.append(size)
        return allocate(size)

    monkeypatch.setattr(library, "allocate", note)
    kept = [engine.predict(draw_images(bundle, count)) for count in (2, 1, 9)]
    assert len(sizes) == calls
    if calls:
        assert 0 < sizes[1] < sizes[0] < sizes[2] == engine.workspace_bytes
    assert np.array_equal(kept[0][:1], kept[1])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_has_the_bits_of_its_images(bundle: Bundle, threads: int) -> None:
    engine = NativeEngine(bundle, threads)
    images = draw_images(bundle, 11)
    alone = np.concatenate([engine.predict(images[i : i + 1]) for i in range(11)])
    for count in range(1, 12):
        assert engine.predict(images[:count]).tobytes() == alone[:count].tobytes()


def test_wrong_input_is_refused_and_the_engine_lives_on(bundle: Bundle) -> None:
    engine = NativeEngine(bundle)
    right = draw_images(bundle, 2)
    for wrong, text in [
        (right.astype(np.float64), "expected a float32 array, found float64"),
        (right[0], r"expected shape \[N, 3, 16, 16\], found \[3, 16, 16\]"),
        (right[:, :, :, :8], r"found \[2, 3, 16, 8\]"),
        (right[:0], r"found \[0, 3, 16, 16\]"),
        (np.where(right > 2, np.float32(np.nan), right), "expected finite values"),
        (right.tolist(), "found list"),
    ]:
        with pytest.raises(InvalidInput, match=text):
            engine.predict(wrong)
    strided = np.ascontiguousarray(right.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    assert not strided.flags.c_contiguous
    assert np.array_equal(engine.predict(strided), engine.predict(right))


def test_read_only_input_is_accepted(bundle: Bundle) -> None:
    images = draw_images(bundle, 1)
    images.flags.writeable = False
    assert np.isfinite(NativeEngine(bundle).predict(images)).all()


def test_failing_call_gives_its_room_back(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = NativeEngine(bundle)
    with monkeypatch.context() as patch:
        patch.setattr(Network, "run", lambda *_: (_ for _ in ()).throw(ValueError("broken")))
        with pytest.raises(ValueError, match="broken"):
            engine.predict(draw_images(bundle, 1))
    assert engine.predict(draw_images(bundle, 1)).shape == (1, 7)


def test_missing_library_is_the_engines_reason(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        raise NativeUnavailable("no library")

    monkeypatch.setattr(library, "active", fail)
    with pytest.raises(NativeUnavailable, match="no library"):
        load_engine(bundle, "native")


def test_spoilt_weights_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    copy = make_bundle(tmp_path / "copy", graphs=False)
    (copy.path / WEIGHTS).write_bytes((bundle.path / WEIGHTS).read_bytes())
    with pytest.raises(BundleError, match=WEIGHTS):
        read_bundle(copy.path)
    with pytest.raises(BundleError, match=WEIGHTS):
        NativeEngine(copy)  # opened before the file was replaced
