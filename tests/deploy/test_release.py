"""`make release`: each package is installed into an empty environment, classifies and serves."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from tests.deploy.installed import Installation, post_image

pytestmark = pytest.mark.deploy

MAX_BYTES = 2_000_000  # of a package, beside the bundles in it
# Both engines' logits of one seeded image, and whether any bit differs.
COMPARE = """
import numpy as np
from runtime import load_engine
bundle = {bundle!r}
images = np.random.default_rng(7).normal(size=(3, 3, 160, 160)).astype(np.float32)
one, other = (load_engine(bundle, name).predict(images) for name in ("native", "torchscript"))
print(one.shape, one.tobytes() == other.tobytes())
"""


@pytest.fixture(scope="module")
def version(repository: Path) -> str:
    """The one that pyproject.toml names."""
    return str(tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"])


@pytest.fixture(scope="module")
def dist(repository: Path, version: str) -> dict[str, Path]:
    """The packages that were built: sdist, x86_64, aarch64, client, sbom."""
    folder = repository / "dist"
    patterns = {
        "sdist": f"bnn_service-{version}.tar.gz",
        "x86_64": f"bnn_service-{version}-py3-none-manylinux*_x86_64.whl",
        "aarch64": f"bnn_service-{version}-py3-none-manylinux*_aarch64.whl",
        "client": f"bnn_client-{version}-py3-none-any.whl",
        "sbom": f"bnn_service-{version}.cdx.json",
    }
    found = {name: sorted(folder.glob(pattern)) for name, pattern in patterns.items()}
    for name, paths in found.items():
        assert len(paths) == 1, f"{name}: expected one file in dist/, found {paths}. make release"
    return {name: paths[0] for name, paths in found.items()}


@pytest.fixture(scope="module")
def plain(dist: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel without any extra."""
    installation = Installation(tmp_path_factory.mktemp("plain"))
    installation.install(dist["x86_64"])
    return installation


@pytest.fixture(scope="module")
def with_torch(
    repository: Path, dist: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    """The wheel with the extra torch, of which pip finds the locked CPU build."""
    installation = Installation(tmp_path_factory.mktemp("torch"))
    locks = repository / ".locks"
    installation.install("--require-hashes", "-r", locks / "torch-dependencies.txt")
    torch = ("--require-hashes", "--no-deps", "-r", locks / "torch.txt")
    try:
        installation.install(*torch)
    except AssertionError:  # pip's own configuration offers no CPU build
        installation.install(*torch, "--index-url", os.environ["TORCH_INDEX"])
    installation.install(f"{dist['x86_64']}[torch]")
    return installation


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG of seeded colours."""
    path = tmp_path_factory.mktemp("images") / "colours.jpg"
    colours = np.random.default_rng(5).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(colours).resize((640, 480), Image.Resampling.BICUBIC).save(path)
    return path


def classify_here(repository: Path, image: Path) -> dict[str, object]:
    """What the checkout says of an image."""
    done = subprocess.run(
        [sys.executable, "-m", "service", "classify", "--json", "--engine", "native", image],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def read_members(package: Path) -> dict[str, int]:
    """Name -> bytes of a package's files, as stored in a wheel, as unpacked in an sdist."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel:
            return {item.filename: item.compress_size for item in wheel.infolist()}
    with tarfile.open(package) as sdist:
        return {item.name: item.size for item in sdist if item.isfile()}


@pytest.mark.parametrize("kind", ["sdist", "x86_64", "aarch64"])
def test_size_and_content(kind: str, dist: dict[str, Path], version: str) -> None:
    members = read_members(dist[kind])
    bundles = sum(size for name, size in members.items() if "service/bundles/" in name)
    print(f"\n{dist[kind].name}: {dist[kind].stat().st_size:,} bytes, bundles {bundles:,}")
    assert dist[kind].stat().st_size - bundles <= MAX_BYTES
    root = f"bnn_service-{version}" if kind == "sdist" else ""
    tops = {PurePosixPath(name).relative_to(root).parts[0] for name in members}
    if kind == "sdist":
        assert {name for name in tops if "." not in name} == {
            *("LICENSE", "PKG-INFO", "runtime", "service")
        }
    else:
        assert tops == {"runtime", "service", f"bnn_service-{version}.dist-info"}
        assert any(name.startswith("service/bundles/default/") for name in members)


def test_wheels_differ_in_their_libraries_alone(dist: dict[str, Path]) -> None:
    def read(kind: str) -> dict[str, int]:
        with zipfile.ZipFile(dist[kind]) as wheel:
            return {item.filename: item.CRC for item in wheel.infolist()}

    here, there = read("x86_64"), read("aarch64")
    different = {name for name in here.keys() | there.keys() if here.get(name) != there.get(name)}
    libraries = {"runtime/libbnn.so", "runtime/libbnn_torch.so", "runtime/libbnn_torch.txt"}
    assert {name for name in different if ".dist-info/" not in name} <= libraries
    with zipfile.ZipFile(dist["aarch64"]) as wheel:
        header = wheel.read("runtime/libbnn.so")[:20]
    assert header[:5] == b"\x7fELF\x02"
    assert int.from_bytes(header[18:20], "little") == 183  # EM_AARCH64


def test_plain_wheel_names_its_version(plain: Installation, version: str) -> None:
    assert plain.run("bnn-service", "--version") == f"bnn-service {version}\n"
    assert plain.run("bnn-service", "--help").startswith("usage: bnn-service ")


def test_plain_wheel_answers_as_the_checkout_does(
    plain: Installation, image: Path, repository: Path
) -> None:
    here, there = classify_here(repository, image), plain.classify(image)
    assert there["predictions"] == here["predictions"]
    assert there["engine"] == here["engine"]


def test_plain_wheel_serves_a_photo_without_a_word_about_torch(
    plain: Installation, photos: Path
) -> None:
    with plain.serve() as (url, log):
        answer = post_image(url, photos / "cat.jpg")
    print(f"\n{answer['predictions'][0]}, {answer['engine']}")
    assert answer["predictions"][0]["label"] == "cat"
    text = log.read_text()
    assert "torch" not in text.lower()
    levels = {json.loads(line)["level"] for line in text.splitlines()}
    assert levels == {"info"}, text


def test_plain_wheel_says_how_to_add_an_engine(plain: Installation) -> None:
    for engine, extra in (("torchscript", "torch"), ("onnx", "onnx")):
        with pytest.raises(AssertionError, match=rf"pip install 'bnn-service\[{extra}\]'"):
            plain.run("bnn-service", "self-test", BNN_ENGINE=engine)


def test_extra_onnx(dist: dict[str, Path], tmp_path: Path, image: Path, repository: Path) -> None:
    installation = Installation(tmp_path)
    installation.install(f"{dist['x86_64']}[onnx]")
    baseline = installation.run(
        "python", "-c", "import service; print(service.__path__[0] + '/bundles/mobilenet_v1')"
    ).strip()
    with installation.serve(BNN_BUNDLE=baseline) as (url, _):
        answer = post_image(url, image)
    assert answer["engine"] == "onnx/cpu"
    assert answer["model"]["name"].startswith("mobilenet_v1")


def test_extra_torch_loads_from_the_wheel_and_answers_bit_equal(
    with_torch: Installation, image: Path
) -> None:
    check_torch(with_torch, image)


def test_source_distribution_builds_the_torch_operators(
    dist: dict[str, Path], with_torch: Installation, image: Path, repository: Path
) -> None:
    """Built in the environment that has torch, without its wheel's libraries."""
    with_torch.install("--require-hashes", "-r", repository / ".locks" / "build.txt")
    with_torch.run("python", "-m", "pip", "uninstall", "-q", "-y", "bnn-service")
    path = f"{with_torch.python.parent}:{with_torch.environment['PATH']}"
    with_torch.install("--no-build-isolation", "--no-deps", dist["sdist"], PATH=path)
    assert "libbnn_torch.so" in with_torch.run("python", "-m", "pip", "show", "-f", "bnn-service")
    check_torch(with_torch, image)


def check_torch(installation: Installation, image: Path) -> None:
    """torchscript runs where it is asked for, its logits bit for bit those of native."""
    native = installation.classify(image)
    asked = installation.classify(image, BNN_ENGINE="torchscript")
    assert native["engine"].startswith("native/")
    assert asked["engine"].startswith("torchscript/")
    assert asked["predictions"] == native["predictions"]
    bundle = "print(__import__('service').__path__[0] + '/bundles/default')"
    program = COMPARE.format(bundle=installation.run("python", "-c", bundle).strip())
    assert installation.run("python", "-c", program) == "(3, 22) True\n"


def test_client_is_installed_alone_and_asks_the_service(
    dist: dict[str, Path], plain: Installation, tmp_path: Path, image: Path, version: str
) -> None:
    members = read_members(dist["client"])
    tops = {PurePosixPath(name).parts[0] for name in members}
    assert tops == {"bnn_client", f"bnn_client-{version}.dist-info"}
    assert "bnn_client/py.typed" in members
    installation = Installation(tmp_path)
    installation.install(dist["client"])
    program = (
        "import sys\n"
        "from bnn_client import Client\n"
        "with Client(sys.argv[1]) as client:\n"
        "    print(client.classify(sys.argv[2]).engine, 'numpy' in sys.modules)\n"
    )
    with plain.serve() as (url, _):
        printed = installation.run("python", "-c", program, url, image)
    assert printed == f"{plain.classify(image)['engine']} False\n"


def test_sbom_names_what_is_locked(dist: dict[str, Path], repository: Path, version: str) -> None:
    text = dist["sbom"].read_text()
    bom = json.loads(text)
    locked = dict(
        re.findall(r"^([a-z0-9-]+)==(\S+)", (repository / ".locks/runtime.txt").read_text(), re.M)
    )
    found = {
        re.sub(r"[-_.]+", "-", item["name"]).lower(): item["version"] for item in bom["components"]
    }
    print(f"\n{len(found)} components, CycloneDX {bom['specVersion']}")
    assert found.items() <= locked.items()
    assert {"numpy", "pillow", "fastapi", "onnxruntime"} <= found.keys()
    main = bom["metadata"]["component"]
    assert (main["name"], main["version"]) == ("bnn-service", version)
    assert all(item.get("purl") for item in bom["components"])
    assert str(repository) not in text
