"""Errors of the dataset toolkit.

A message says what was given, what was expected, and what to do. The two halves of the tree are the two exit
codes of the command:

    Git10mError
    ├── RequestError              the request was wrong (exit 2)
    │   ├── RecipeError           a recipe that cannot be read, or says something impossible
    │   ├── RegionError           an area of interest that is empty or malformed
    │   ├── DatasetError          a folder that is no dataset, or another one
    │   ├── LicenceError          rows that may not be published, or not unasked
    │   ├── TargetError           a place that nothing can be published to
    │   └── WeightsError          a file of weights that cannot be read, or is another network's
    └── WorkError                 the request was right, the work failed (exit 1)
        ├── SourceError           imagery or a layer that cannot be read
        │   └── BandsUnknownError     a raster whose red, green and blue cannot be told
        ├── CaptionError          captions that cannot be written: a server, a key, a model, a budget
        ├── VerificationError     a dataset that breaks a promise
        ├── PublishError          a publication that does not arrive (network, rights, disk full)
        ├── BuildError            a build that cannot go on (disk full, a worker killed)
        └── TrainingError         a training of a restorer that cannot go on
"""

__all__ = [
    "BandsUnknownError",
    "BuildError",
    "CaptionError",
    "DatasetError",
    "Git10mError",
    "LicenceError",
    "PublishError",
    "RecipeError",
    "RegionError",
    "RequestError",
    "SourceError",
    "TargetError",
    "TrainingError",
    "VerificationError",
    "WeightsError",
    "WorkError",
]


class Git10mError(Exception):
    """Root of every error that this package raises on purpose."""

    exit_code = 1


class RequestError(Git10mError):
    """What was asked for is wrong; the same request will never succeed."""

    exit_code = 2


class RecipeError(RequestError):
    """A recipe cannot be read, or says something impossible."""


class RegionError(RequestError):
    """An area of interest is empty or malformed."""


class DatasetError(RequestError):
    """A folder is not a dataset, or holds another build."""


class LicenceError(RequestError):
    """Rows are of licences that may not be published, or not unless they are asked for by name."""


class TargetError(RequestError):
    """A place that nothing can be published to: not one of ours, inside the dataset, or taken by another set."""


class WeightsError(RequestError):
    """A file of weights cannot be read, needs code to be read, or belongs to another network."""


class WorkError(Git10mError):
    """The request was right and the work failed; the same request may succeed later."""


class SourceError(WorkError):
    """Imagery, or a layer of facts or areas, cannot be read: names the file, what was expected and what to do."""


class BandsUnknownError(SourceError):
    """The red, green and blue bands of a raster cannot be told from the file alone."""


class CaptionError(WorkError):
    """Captions cannot be written: a server does not answer, a key is refused, a budget is spent."""


class VerificationError(WorkError):
    """A dataset breaks one of its promises."""


class PublishError(WorkError):
    """A publication does not arrive: the server, the network, the rights or the disk are in the way."""


class BuildError(WorkError):
    """A build cannot go on, for a reason outside the recipe."""


class TrainingError(WorkError):
    """A training of a restorer cannot go on."""
