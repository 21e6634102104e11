"""models.networks.counts: every published figure, counted on the real modules."""

import pytest
import torch

from models.networks.counts import count
from models.networks.registry import build_network

# parameters, packed bytes, binary MACs, float MACs, binary convolutions at 224 pixels, 1000 classes
PUBLISHED = {
    "meliusnet22": (6_944_584, 4_065_568, 4_624_220_160, 136_388_608, 34),
    "meliusnet23": (8_187_784, 3_895_840, 2_532_483_072, 74_543_616, 36),
    "meliusnet29": (11_328_328, 5_315_872, 5_469_585_408, 129_491_968, 48),
    "meliusnet42": (26_825_544, 10_594_080, 9_692_798_976, 175_066_368, 74),
    "meliusnet59": (55_555_336, 18_234_400, 18_316_247_040, 247_074_048, 108),
    "meliusneta": (9_238_984, 4_243_744, 4_851_818_496, 87_401_216, 40),
    "meliusnetb": (12_239_176, 5_245_216, 5_722_472_448, 107_127_296, 48),
    "meliusnetc": (12_240_264, 4_678_176, 4_353_269_760, 82_885_376, 48),
    "binarydensenet28": (5_127_688, 4_226_080, 3_587_383_296, 153_111_040, 23),
    "binarydensenet37": (8_698_440, 5_367_072, 4_506_808_320, 150_365_184, 32),
    "binarydensenet45": (13_885_704, 7_688_736, 6_430_556_160, 194_730_240, 40),
    "mobilenet_v1": (4_231_976, 4 * 4_231_976, 0, 568_740_352, 0),
    "mobilenet_v1_0.75": (2_585_560, 4 * 2_585_560, 0, 325_400_448, 0),
    "mobilenet_v1_0.5": (1_331_592, 4 * 1_331_592, 0, 149_497_088, 0),
    "mobilenet_v1_0.25": (470_072, 4 * 470_072, 0, 41_030_272, 0),
}
# parameters, binary MACs, float MACs with the thumbnail stem at 32 pixels, 10 classes
THUMBNAIL = {
    "meliusnet22": (6_432_714, 1_509_949_440, 23_729_152),
    "meliusnet23": (7_517_514, 826_933_248, 3_484_224),
    "meliusnet29": (10_689_738, 1_785_987_072, 21_436_672),
    "meliusneta": (8_568_714, 1_584_267_264, 7_682_624),
    "meliusnetb": (11_537_226, 1_868_562_432, 14_113_664),
    "meliusnetc": (11_569_994, 1_421_475_840, 6_208_064),
    "meliusnet42": (25_775_114, 3_164_995_584, 36_186_432),
    "meliusnet59": (54_251_466, 5_980_815_360, 59_618_112),
    "binarydensenet28": (4_552_458, 1_171_390_464, 29_169_280),
    "binarydensenet37": (8_059_850, 1_471_610_880, 28_252_416),
    "binarydensenet45": (13_088_714, 2_099_773_440, 42_688_320),
}
SEVEN = {"meliusnet22": 6_948_392, "meliusnet29": 11_332_136}
RESOLUTIONS = {
    ("mobilenet_v1_0.75", 192): 239_273_472,
    ("mobilenet_v1_0.5", 160): 76_524_800,
    ("mobilenet_v1_0.25", 128): 13_570_048,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_equal_the_published_table(name: str) -> None:
    with torch.device("meta"):
        network = build_network(name)
    c = count(network, 224)
    found = (c.parameters, c.packed_bytes, c.binary_macs, c.float_macs, c.binary_convs)
    assert found == PUBLISHED[name]


@pytest.mark.parametrize("name", THUMBNAIL)
def test_counts_of_the_thumbnail_stem(name: str) -> None:
    with torch.device("meta"):
        network = build_network(name, 10, stem="thumbnail")
    c = count(network, 32)
    assert (c.parameters, c.binary_macs, c.float_macs) == THUMBNAIL[name]


@pytest.mark.parametrize("name", SEVEN)
def test_parameters_of_the_7x7_stem(name: str) -> None:
    with torch.device("meta"):
        network = build_network(name, stem="imagenet7x7")
    assert count(network, 224).parameters == SEVEN[name]


@pytest.mark.parametrize(("name", "size"), RESOLUTIONS)
def test_operations_of_mobilenet_at_other_resolutions(name: str, size: int) -> None:
    with torch.device("meta"):
        network = build_network(name)
    assert count(network, size).float_macs == RESOLUTIONS[name, size]
