"""models.networks.specs: the table of variants."""

import pytest

from models.networks.specs import SPECS, Spec, find_spec

# meliusnet paper: (in, out) channels of each stage
CHANNELS = {
    "meliusnet22": [(64, 320), (160, 480), (224, 480), (256, 512)],
    "meliusnet23": [(64, 192), (128, 384), (192, 576), (288, 672)],
    "meliusnet29": [(64, 320), (128, 512), (192, 704), (256, 640)],
    "meliusnet42": [(64, 384), (160, 672), (256, 1152), (416, 1056)],
    "meliusnet59": [(64, 448), (192, 960), (320, 1856), (544, 1312)],
    "meliusneta": [(64, 320), (160, 480), (256, 576), (288, 672)],
    "meliusnetb": [(64, 320), (160, 544), (224, 736), (320, 704)],
    "meliusnetc": [(64, 256), (128, 448), (192, 832), (288, 672)],
    "binarydensenet28": [(64, 448), (160, 544), (192, 576), (256, 576)],
    "binarydensenet37": [(64, 448), (128, 640), (192, 960), (256, 640)],
    "binarydensenet45": [(64, 448), (160, 928), (288, 1184), (288, 800)],
}


@pytest.mark.parametrize("name", CHANNELS)
def test_stage_channels_equal_the_published_table(name: str) -> None:
    assert list(SPECS[name].stage_channels) == CHANNELS[name]


@pytest.mark.parametrize(
    "name", [n for n in SPECS if n.startswith("meliusnet") and n[-1].isdigit()]
)
def test_a_name_is_pairs_plus_five(name: str) -> None:
    assert int(name.removeprefix("meliusnet")) == sum(SPECS[name].blocks) + 5


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match="unknown network 'meliusnet99'; known: meliusnet22"):
        find_spec("meliusnet99")


def test_unknown_stem_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown stem 'norm'"):
        find_spec("meliusnet22", stem="norm")


def test_wrong_count_of_transitions_is_refused() -> None:
    with pytest.raises(ValueError, match="2 stages need 1 transitions, found 2"):
        Spec("x", (1, 1), (64, 64))


def test_channels_must_be_whole_words() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        Spec("x", (1, 1), (48,))
