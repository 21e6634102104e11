"""Which implementation runs: forced by the environment, chosen by the CPU, refused by name."""

import ctypes
import os
import shutil
import subprocess
import sys
import threading

import pytest

from runtime.errors import ImplementationUnavailable
from runtime.kernels import library

REPORT = """
import numpy as np
from runtime.kernels import library
library.pack(np.ones((1, 32), np.float32))
print(library.active())
"""


def run_forced(name: str) -> subprocess.CompletedProcess[str]:
    """A fresh process with BNN_FORCE_IMPLEMENTATION set."""
    environment = os.environ | {"BNN_FORCE_IMPLEMENTATION": name}
    return subprocess.run(
        [sys.executable, "-c", REPORT],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_forced_one_runs(implementation):
    result = run_forced(implementation)
    assert (result.returncode, result.stdout.strip()) == (0, implementation), result.stderr


def test_an_unknown_name_is_an_error_that_lists_the_available():
    result = run_forced("avx1024")
    assert result.returncode != 0
    assert "ImplementationUnavailable" in result.stderr
    assert "BNN_FORCE_IMPLEMENTATION: 'avx1024' is no implementation of this build" in result.stderr
    for entry in library.implementations():
        assert (entry.name in result.stderr) == entry.supported


def test_an_empty_name_means_the_best():
    best = next(entry.name for entry in library.implementations() if entry.supported)
    assert run_forced("").stdout.strip() == best


def test_generic_is_last_and_always_supported():
    names = [entry.name for entry in library.implementations()]
    assert names[-1] == "generic"
    assert library.implementations()[-1].supported
    assert len(set(names)) == len(names)


def test_features_are_named():
    assert all(entry.features for entry in library.implementations())


def test_select_keeps_the_active_one_after_a_failure(supported):
    library.select("generic")
    with pytest.raises(ImplementationUnavailable, match="'nonsense' is no implementation"):
        library.select("nonsense")
    assert library.active() == "generic"


def test_first_use_never_replaces_a_choice_made_meanwhile(tmp_path):
    """Every copy of the library has a state of its own: a first use for each."""
    original = library.find_file(f"libbnn{library.SUFFIX}")
    for trial in range(20):
        copy = ctypes.CDLL(str(shutil.copy(original, tmp_path / f"{trial}{library.SUFFIX}")))
        copy.bnn_active.restype = ctypes.c_char_p
        start = threading.Barrier(4)

        def act(call, *arguments, start=start):
            start.wait()
            call(*arguments)

        threads = [threading.Thread(target=act, args=(copy.bnn_active,)) for _ in range(3)]
        threads.append(threading.Thread(target=act, args=(copy.bnn_select, b"generic")))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert copy.bnn_active() == b"generic"


def test_select_of_an_unsupported_name():
    missing = [entry.name for entry in library.implementations() if not entry.supported]
    if not missing:
        pytest.skip("this CPU runs every implementation of the build")
    with pytest.raises(ImplementationUnavailable, match="needs CPU features that this"):
        library.select(missing[0])
