"""What a build would do, before it does it: an outlook in numbers, a map, and a few tiles of each source.

outlook     tiles, requests, bytes, time, disk, licences          page     the outlook as an HTML page with a map
preview     a few tiles of each source as one picture
"""

from git10m.planning.outlook import Outlook, SourceOutlook, look_ahead
from git10m.planning.page import write_plan
from git10m.planning.preview import write_preview

__all__ = ["Outlook", "SourceOutlook", "look_ahead", "write_plan", "write_preview"]
