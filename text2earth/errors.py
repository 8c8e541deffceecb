"""Errors of the model package.

A message says what was given, what was expected, and what to do. The two halves of the tree are the two exit
codes of the command:

    Text2EarthError
    ├── RequestError              the request was wrong (exit 2)
    │   ├── AreasError            areas with prompts that are no such GeoJSON
    │   ├── BaseMapError          a raster that a world cannot start from
    │   ├── ConfigError           a training configuration that cannot be read, or says something impossible
    │   ├── ConditionError        a prompt or level that cannot be, or that contradict each other
    │   ├── ExportError           an area, zooms or a file that a world cannot be exported to
    │   ├── ModelError            a folder or name that is no model
    │   ├── LatentCacheError      cached latents that are not there, or are of another autoencoder, view or shard
    │   ├── OutsideWorldError     a tile or an image that a server's world does not have
    │   ├── ShardError            a folder that holds no shards to train on, or none that pass the filters
    │   └── WorldError            a tile, a region or a setting that a world does not have
    └── WorkError                 the request was right, the work failed (exit 1)
        ├── DivergedError         a loss that is not a number
        ├── HubError              a hub that cannot be reached, or that sends other bytes than it announced
        ├── InterruptedTraining   training was asked to stop; it saved its state first
        ├── PaintingTimeoutError  tiles that were not painted in the time that a request has
        ├── QueueFullError        more tiles wait to be painted than a server keeps
        ├── ServerStoppedError    a server that paints no more
        └── UnreadableRowsError   too many rows in a row that cannot be decoded
"""

__all__ = [
    "AreasError",
    "BaseMapError",
    "ConditionError",
    "ConfigError",
    "DivergedError",
    "ExportError",
    "HubError",
    "InterruptedTraining",
    "LatentCacheError",
    "ModelError",
    "OutsideWorldError",
    "PaintingTimeoutError",
    "QueueFullError",
    "RequestError",
    "ServerStoppedError",
    "ShardError",
    "Text2EarthError",
    "UnreadableRowsError",
    "WorkError",
    "WorldError",
]


class Text2EarthError(Exception):
    """Root of every error that this package raises on purpose."""

    exit_code = 1


class RequestError(Text2EarthError):
    """What was asked for is wrong; the same request will never succeed."""

    exit_code = 2


class AreasError(RequestError):
    """Areas with prompts are not the GeoJSON that they should be; names the feature."""


class BaseMapError(RequestError):
    """A raster cannot be read, or a world cannot start from it."""


class ConfigError(RequestError):
    """A training configuration cannot be read, or says something impossible."""


class ConditionError(RequestError):
    """A prompt or a level is impossible, or the two contradict each other."""


class ExportError(RequestError):
    """An area is empty, a zoom is not there, or a file cannot be what was asked for; names the option to change."""


class ModelError(RequestError):
    """A folder or a name is not a model that can be loaded."""


class ShardError(RequestError):
    """A folder holds no shards, or no row of them passes the filters."""


class LatentCacheError(RequestError):
    """Cached latents are not there, or belong to another autoencoder, view or shard than what is trained on."""


class OutsideWorldError(RequestError):
    """A tile or an image was asked of a server whose world does not have it; says what it has."""


class WorldError(RequestError):
    """A tile or region is not of the world, or a setting is out of its range."""


class WorkError(Text2EarthError):
    """The request was right and the work failed; the same request may succeed later."""


class DivergedError(WorkError):
    """The loss became infinite or not a number: names the step and the rows of the batch."""


class HubError(WorkError):
    """The hub cannot be reached, or its files are not those that are known."""


class InterruptedTraining(WorkError):  # noqa: N818  (an order that was obeyed, not a fault)
    """Training was asked to stop and saved its state; the same command goes on from there."""


class QueueFullError(WorkError):
    """More tiles wait to be painted than a server keeps.

    Args:
        message: What waits.
        retry_after_s: When it is worth asking again.
    """

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PaintingTimeoutError(WorkError):
    """Tiles were not painted in the time that a request has.

    Args:
        message: How long that was.
        begun: Whether the painting of one of them at least had begun.
    """

    def __init__(self, message: str, *, begun: bool) -> None:
        super().__init__(message)
        self.begun = begun


class ServerStoppedError(WorkError):
    """A server is stopping, or its painter ended: it paints no more."""


class UnreadableRowsError(WorkError):
    """No readable row could be found in place of unreadable ones."""
