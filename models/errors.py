"""The exception tree of training; every message says expected, found and remedy.

TrainingFault
├── DataError                a data set that is not there or not as described
│   ├── IncompleteData       a known set of which images or classes are missing
│   │   └── NoClone          a repository of which there is no local clone
│   └── DamagedImages      files that no image can be decoded from, each named
├── RecipeError              a configuration or an option that makes no sense
├── RuleError                a rule about an album's photos that cannot be read or applied
│   ├── ContradictoryRules   hard rules that no choice of kinds satisfies
│   └── TooManyLinks         rules that link more photos than can be reasoned about exactly
├── BundleExists             a folder that has a bundle already
├── CheckpointMismatch       a checkpoint of another run, or of another version
├── Diverged                 the loss is NaN or infinite
└── NoGradients              an attack by gradients on what has none to use
"""


class TrainingFault(ValueError):
    """Base of everything that models raises on purpose while training and measuring."""


class DataError(TrainingFault):
    """A data set that is not there or not as described."""


class IncompleteData(DataError):
    """A known set of which images or classes are missing."""


class NoClone(IncompleteData):
    """A repository of which there is no local clone."""


class DamagedImages(DataError):
    """Files that no image can be decoded from.

    faults: a line for each; looked_at: the number of all files; can_skip: the command has an option
    to continue without them.
    """

    SHOWN = 10

    def __init__(self, faults: list[str], looked_at: int, can_skip: bool = True) -> None:
        self.faults = faults
        more = len(faults) - self.SHOWN
        super().__init__(
            f"expected images; {len(faults)} of {looked_at} files are none:\n  "
            + "\n  ".join(faults[: self.SHOWN])
            + (f"\n  and {more} more" if more > 0 else "")
            + "\nRepair or remove them"
            + (", or give --skip-damaged to go on without them." if can_skip else ".")
        )


class RecipeError(TrainingFault):
    """A configuration or an option that makes no sense."""


class RuleError(TrainingFault):
    """A rule about an album's photos that cannot be read or applied."""


class ContradictoryRules(RuleError):
    """Hard rules that no choice of kinds satisfies."""


class TooManyLinks(RuleError):
    """Rules that link more photos with each other than can be reasoned about exactly."""


class BundleExists(TrainingFault):
    """A folder that has a bundle already, which nobody said to replace."""


class CheckpointMismatch(TrainingFault):
    """A checkpoint of another run, or of another version."""


class Diverged(TrainingFault):
    """The loss is NaN or infinite."""


class NoGradients(TrainingFault):
    """An attack by gradients on what has none to use."""
