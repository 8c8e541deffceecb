"""What a build would do, before it does it: an outlook in numbers, a map, and a few tiles of each source.

outlook     tiles, requests, bytes, time, disk, licences          page     the outlook as an HTML page with a map
preview     a few tiles of each source as one picture             trial    verdicts on a sample, with pictures
"""

from git10m.planning.outlook import Outlook, SourceOutlook, look_ahead
from git10m.planning.page import write_plan
from git10m.planning.preview import write_preview
from git10m.planning.trial import Trial, try_verdicts, write_trial

__all__ = [
    "Outlook",
    "SourceOutlook",
    "Trial",
    "look_ahead",
    "try_verdicts",
    "write_plan",
    "write_preview",
    "write_trial",
]
