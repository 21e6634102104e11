"""Networks with random weights: good for time and memory, never for answers; found in a folder.

`make bench` fills it. A network lies in ARITHMETIC/NAME, by the arithmetic of its float layers.
"""

from __future__ import annotations

from pathlib import Path

from runtime.bundle import Bundle, read_bundle
from runtime.errors import RuntimeFault
from runtime.plan import ARITHMETICS

SIZE = 224  # pixels


class Exports:
    """Finds bundles by what they are. Without a folder none is there."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def __call__(self, name: str, size: int = SIZE, float_layers: str = ARITHMETICS[0]) -> Bundle:
        """A network for images of that size. Raises RuntimeFault where it is another, or none."""
        if self._folder is None:
            raise RuntimeFault(
                f"expected a folder with {name} as --exports, found none. `make bench` fills one"
            )
        bundle = read_bundle(self._folder / float_layers / name)
        found = bundle.manifest.name, bundle.manifest.input[1]
        if found != (name, size):
            raise RuntimeFault(
                f"{bundle.path}: expected {name} for {size} pixels, found {found[0]} for "
                f"{found[1]}. Remove the folder; `make bench` fills it again"
            )
        return bundle
