"""models.data.preprocessing: whole small images, the authors' crop of photos."""

from models.data.preprocessing import MEAN, STD, evaluation_preprocessing, whole_preprocessing


def test_photos_are_cropped_as_the_authors_do() -> None:
    assert evaluation_preprocessing(224).resize == 256
    assert evaluation_preprocessing(128).resize == 146
    assert evaluation_preprocessing(128, 160).resize == 160


def test_small_images_are_seen_whole() -> None:
    assert evaluation_preprocessing(32).resize == 32
    assert whole_preprocessing(200).resize == whole_preprocessing(200).crop == 200


def test_normalisation_is_imagenets() -> None:
    spec = evaluation_preprocessing(64)
    assert (spec.mean, spec.std) == (MEAN, STD)
