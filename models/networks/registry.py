"""Every network by its name: one function that the command lines share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from models.networks import meliusnet, mobilenet, specs

Network = meliusnet.MeliusNet | mobilenet.MobileNetV1

_UNKNOWN = object()  # no spec's value
NAMES: tuple[str, ...] = (*specs.SPECS, *mobilenet.SPECS)


def build_network(name: str, num_classes: int = 1000, **changes: object) -> Network:
    """An untrained network called `name`; `changes` replace fields of its spec (stem, padding,
    shift, width, ...).

    Raises ValueError for an unknown name or field, with the known ones.
    """
    known = [
        f.name for f in fields(mobilenet.MobileNetSpec if name in mobilenet.SPECS else specs.Spec)
    ]
    if unknown := sorted(changes.keys() - set(known)):
        raise ValueError(f"{name} has no {', '.join(unknown)}; expected one of {', '.join(known)}")
    if name in mobilenet.SPECS:
        spec = mobilenet.find_mobilenet_spec(name, **changes)
        return mobilenet.MobileNetV1(spec, num_classes)
    if name in specs.SPECS:
        return meliusnet.MeliusNet(specs.find_spec(name, **changes), num_classes)
    raise ValueError(f"unknown network {name!r}; known: {', '.join(NAMES)}")


def find_changes(name: str, fields_given: Mapping[str, object]) -> dict[str, object]:
    """Of fields of a known network's spec those that differ from the variant's own."""
    spec = mobilenet.SPECS[name] if name in mobilenet.SPECS else specs.SPECS[name]
    return {k: v for k, v in fields_given.items() if getattr(spec, k, _UNKNOWN) != v}


def describe_network(name: str, changes: Mapping[str, object]) -> str:
    """Its name, and which twin of that network it is."""
    twins = (("improvement", " without improvement blocks"), ("binary", ", full precision"))
    return name + "".join(text for key, text in twins if not changes.get(key, True))


def default_image_size(network: Network) -> int:
    """Side of the square input that a variant is meant for.

    32 pixels for the small-image stems, else 224.
    """
    if isinstance(network, mobilenet.MobileNetV1):
        return 32 if network.spec.stem_stride == 1 else 224
    return 32 if network.spec.stem in ("small", "thumbnail") else 224
