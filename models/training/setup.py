"""The set-up of a training before an image is decoded: network, sizes, initial weights, teacher."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from models.data.decoded import LabelledImages
from models.data.preprocessing import evaluation_preprocessing
from models.errors import DataError, RecipeError
from models.networks.binary import LATENT
from models.networks.registry import Network, default_image_size
from models.records import provenance
from models.records.training_run import Header, Split, TrainingData
from models.teachers.answers import StoredAnswers, read_answers
from models.teachers.kinds import Kinds, as_targets, correct_by_labels, read_kinds
from models.training.distillation import Teacher, load_teacher
from models.training.distributed import Processes
from models.training.images import Images
from models.training.initial_weights import Start, read_start
from models.training.job import Job, build_network_of
from models.training.teachers_classes import decode_test, label_by_answers
from runtime.images import Preprocessing


@dataclass(frozen=True)
class Setup:
    """A network on its device, and what it is trained with."""

    network: Network
    preprocessing: Preprocessing
    stored_side: int
    start: Start | None
    fits_last_layer: bool  # before the training
    teacher: Teacher | None
    stored: tuple[StoredAnswers, Kinds | None] | None = None  # what teachers answered before


def set_up(job: Job, device: torch.device) -> Setup:
    """Draws random weights by the recipe's seed. Raises TrainingFault."""
    torch.manual_seed(job.recipe.seed)
    network = build_network_of(job)
    start, fits_last_layer = _begin(job, network)
    network.to(device)
    side = default_image_size(network) if job.image_size is None else job.image_size
    preprocessing = evaluation_preprocessing(side, job.resize)
    stored_side = preprocessing.resize if job.stored_side is None else job.stored_side
    if stored_side < side:
        raise DataError(
            f"expected stored images of at least the input's {side} pixels; found "
            f"--stored-side {stored_side}"
        )
    teacher = _load_teacher(job)
    return Setup(
        network,
        preprocessing,
        stored_side,
        start,
        fits_last_layer,
        teacher.to(device) if teacher else None,
        _read_stored(job),
    )


def _begin(job: Job, network: Network) -> tuple[Start | None, bool]:
    """The initial weights, and whether the last layer still has to be fitted."""
    start = None if job.start is None else read_start(job.start, job.recipe.latent)
    if job.recipe.latent != LATENT and (start is None or start.measured):
        raise RecipeError(
            "expected a bundle as --start for --latent; found "
            f"{'random initial weights' if start is None else start.name}, in which latent weights "
            "have sizes already. Leave --latent out."
        )
    if start is not None:
        if job.changes.get("shift"):
            raise RecipeError(
                "expected --shift without --start: it is where offsets begin, and these have "
                "been learned; leave one of them out"
            )
        same = start.begin(network, job.network, job.classes)
        few = job.teachers_classes is None  # a fit to 1,000 classes takes longer than it saves
        return start, job.recipe.epochs == 0 or (few and not same)
    if job.recipe.epochs == 0:
        raise RecipeError(
            "expected at least 1 epoch for a network that has learned nothing; found 0. Give "
            "--start, or more epochs."
        )
    return None, False


def _load_teacher(job: Job) -> Teacher | None:
    if job.teacher is not None and job.answers is not None:
        raise RecipeError("expected --teacher or --answers; found both. Leave one out.")
    named = sum(given is not None for given in (job.kinds, job.teachers_classes))
    if named != (job.answers is not None):
        found = "no --answers" if job.answers is None else "both" if named else "neither"
        raise RecipeError(
            "expected --answers with --kinds, or with --labels for the teachers' own classes; "
            f"found {found}. Give one."
        )
    taught = job.teacher is not None or job.answers is not None
    if taught != (job.recipe.distillation > 0):
        raise RecipeError(
            "expected --teacher, or --answers, and --distillation above 0 together; found "
            f"{'a teacher' if taught else 'no teacher'} and distillation "
            f"{job.recipe.distillation}. A weight of 0.5 is a good start."
        )
    if job.teacher is None:
        return None
    if job.recipe.epochs == 0:
        raise RecipeError(
            "expected at least 1 epoch to learn from a teacher in; found 0. Give --epochs, or "
            "leave --teacher out."
        )
    return load_teacher(job.teacher, job.data.train.classes)


def _read_stored(job: Job) -> tuple[StoredAnswers, Kinds | None] | None:
    """Before an image is decoded. Raises DataError."""
    if job.answers is None:
        return None
    return read_answers(job.answers), read_kinds(job.kinds) if job.kinds else None


def relabel(job: Job, setup: Setup, images: Images, progress: bool = False) -> Images:
    """The images with the teachers' classes, where the student learns these; else as they are.

    Raises DataError.
    """
    taught = job.teachers_classes
    if taught is None or setup.stored is None:
        return images
    answers, where = setup.stored[0], str(job.answers)
    return Images(
        label_by_answers(images.train, answers, taught.names, where),
        label_by_answers(images.validation, answers, taught.names, where)
        if images.validation
        else None,
        decode_test(taught, setup.preprocessing, progress),
        images.skipped,
    )


def find_targets(job: Job, setup: Setup, train: LabelledImages) -> Tensor | None:
    """What the stored answers say of the training images: float32 [N, classes], or None.

    Raises DataError if they do not fit the images.
    """
    if setup.stored is None:
        return None
    stored, kinds = setup.stored
    answers = stored.select(train.names, str(job.answers))
    if kinds is None:
        return torch.from_numpy(answers.dense())
    targets = as_targets(answers.dense(), kinds, train.classes)
    return correct_by_labels(targets, train.labels, train.classes.index(kinds.other))


def _name_teacher(setup: Setup) -> str | None:
    if setup.stored is not None:
        return f"stored answers of {' and '.join(setup.stored[0].teachers)}"
    return setup.teacher.name if setup.teacher else None


def describe_job(
    job: Job,
    setup: Setup,
    images: Images,
    splits: dict[str, Split],
    device: torch.device,
    processes: Processes,
) -> Header:
    """What this run is, where and by which code."""
    data = TrainingData(
        name=job.data.name,
        splits=splits,
        classes=job.classes,
        labels=job.labels,
        train_images=len(images.train),
        validation_images=len(images.validation) if images.validation else 0,
        skipped=images.skipped,
    )
    return Header(
        data=data,
        network=job.network,
        changes=dict(job.changes),
        preprocessing=setup.preprocessing,
        stored_side=setup.stored_side,
        teacher=_name_teacher(setup),
        start=setup.start.name if setup.start else None,
        device=provenance.describe_device(device),
        threads=torch.get_num_threads(),
        processes=processes.count,
        execution=asdict(job.execution),
        torch=str(torch.__version__),
        **provenance.describe_code(),
    )
