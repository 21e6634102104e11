"""models.networks.registry: every name builds."""

import pytest
import torch

from models.networks.registry import NAMES, build_network, default_image_size, describe_network


@pytest.mark.parametrize("name", NAMES)
def test_every_name_builds_and_runs_at_its_own_size(name: str) -> None:
    with torch.device("meta"):
        network = build_network(name, 3).eval()
        size = default_image_size(network)
        assert network(torch.empty(1, 3, size, size)).shape == (1, 3)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match="known: meliusnet22"):
        build_network("resnet50")


def test_unknown_field_lists_the_known() -> None:
    with pytest.raises(ValueError, match="mobilenet_v1 has no stem; expected one of name, width"):
        build_network("mobilenet_v1", stem="small")


def test_twins_are_told_apart() -> None:
    assert describe_network("meliusnet13", {"stem": "grouped", "binary": True}) == "meliusnet13"
    assert describe_network("meliusnet13", {"binary": False}) == "meliusnet13, full precision"
    both = describe_network("meliusnet13", {"improvement": False, "binary": False})
    assert both == "meliusnet13 without improvement blocks, full precision"
