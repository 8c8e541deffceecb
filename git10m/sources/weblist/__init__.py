"""Images at addresses that a table lists, fetched through img2dataset.

open_weblist   table(s) ─► checked, numbered rows in the store
fetch          once, before anything is read: what is not had yet, by img2dataset in a process of its own
WebList.read   bytes out of the store, with what the table says of them
"""

from git10m.sources.weblist.fetching import Fetched, fetch
from git10m.sources.weblist.reading import WebList, open_weblist

__all__ = ["Fetched", "WebList", "fetch", "open_weblist"]
