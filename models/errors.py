"""The exception tree of training; every message says expected, found and remedy.

TrainingFault
├── DataError                a data set that is not there or not as described
│   ├── IncompleteData       a known set of which pictures or classes are missing
│   └── DamagedPictures      files that no picture can be decoded from, each named
├── RecipeError              a configuration or an option that makes no sense
├── CheckpointMismatch       a checkpoint of another run, or of another version
└── Diverged                 the loss is no number any more
"""


class TrainingFault(ValueError):
    """Base of everything that models raises on purpose while training and measuring."""


class DataError(TrainingFault):
    """A data set that is not there or not as described."""


class IncompleteData(DataError):
    """A known set of which pictures or classes are missing."""


class DamagedPictures(DataError):
    """Files that no picture can be decoded from."""


class RecipeError(TrainingFault):
    """A configuration or an option that makes no sense."""


class CheckpointMismatch(TrainingFault):
    """A checkpoint of another run, or of another version."""


class Diverged(TrainingFault):
    """The loss is no number any more."""
