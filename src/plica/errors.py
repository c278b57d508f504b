"""Every error plica raises on purpose: one family, one sentence or two each.

    PlicaError
    ├── InputError                what was given cannot be used
    │   ├── UnreadableFile        damaged, truncated, empty, or not what its name says
    │   ├── UnsupportedFormat     a valid file of a kind plica has no reader, writer or decoder for
    │   ├── NotAnImage            a valid file that holds no pixels (a report, a plan, a waveform)
    │   ├── NotAVolume            slices that do not stack: a gap, two positions, two orientations
    │   ├── AmbiguousSource       several images where one was asked for: choose one
    │   ├── TooLarge              would need more memory than the limit allows
    │   ├── UnusablePixels        NaN, infinities, no voxels, a unit the codec does not take
    │   └── SettingsError         a recipe or setting that is unknown or of the wrong kind
    ├── OutputError               the result cannot be written where it was asked for
    ├── LatentError               a latent file that is damaged or was made by another codec
    ├── WeightsError              weights that are missing, damaged or of another network
    ├── TrainingStopped           a training that leads nowhere: not finite, or falling behind
    ├── TrainingInterrupted       a training that was asked to stop, and can be resumed
    ├── UnknownName               no codec, step or format of that name
    └── MissingExtra              an optional package is needed; says the pip line

A message says what came, what was expected, and what to do.
"""


class PlicaError(Exception):
    """Base of all errors plica raises on purpose."""


class InputError(PlicaError):
    """What was given cannot be used."""


class UnreadableFile(InputError):
    """The file is damaged, truncated, empty, or not what its name says."""


class UnsupportedFormat(InputError):
    """The file is valid, but of a kind plica has no reader, writer or decoder for."""


class NotAnImage(InputError):
    """The file is valid, but holds no pixels."""


class NotAVolume(InputError):
    """The slices do not stack into one volume on a regular grid."""


class AmbiguousSource(InputError):
    """There are several images where one was asked for."""


class TooLarge(InputError):
    """The image would need more memory than the limit allows.

    Args:
        message: What came, what is needed, what to do.
        least: Bytes that would do, where that is known.
    """

    def __init__(self, message: str = "", *, least: int = 0) -> None:
        super().__init__(message)
        self.least = least


class UnusablePixels(InputError):
    """The pixel values cannot be used: not finite, absent, or of a unit the codec does not take."""


class SettingsError(InputError):
    """A setting is unknown, missing or of the wrong kind."""


class OutputError(PlicaError):
    """The result cannot be written where it was asked for."""


class LatentError(PlicaError):
    """The latent is damaged, or was made by another codec than the one asked to decode it."""


class WeightsError(PlicaError):
    """The weights are missing, damaged, or belong to another network."""


class TrainingStopped(PlicaError):
    """The training leads nowhere: a number is not finite, or falls behind that of the start."""


class TrainingInterrupted(PlicaError):
    """The training was asked to stop, has written a checkpoint, and can be resumed."""


class UnknownName(PlicaError, KeyError):
    """There is no thing of that name in the table; a `KeyError` too, since tables are mappings."""

    __str__ = Exception.__str__  # KeyError would put the sentence in quotes


class MissingExtra(PlicaError):
    """An optional package is needed.

    Args:
        purpose: What the package is needed for, as the subject of the sentence.
        package: The package that could not be imported.
        extra: plica's extra that installs it.
        broken: What its import said, where it is installed and fails.
    """

    def __init__(self, purpose: str, package: str, extra: str, broken: str = "") -> None:
        self._words = (purpose, package, extra, broken)
        what = "is not installed; run" if not broken else f"cannot be imported ({broken}); try"
        super().__init__(
            f"{purpose} needs the package '{package}', which {what}: pip install 'plica[{extra}]'"
        )

    def __reduce__(self) -> tuple[type[PlicaError], tuple[str, str, str, str]]:
        """Made anew from its words, where it is sent to another process."""
        return MissingExtra, self._words
