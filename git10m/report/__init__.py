"""The report of a dataset: one HTML file that opens offline, and the same figures for machines.

``summary`` reads the columns once, ``footprints`` draws the map, ``charts`` the bars and histograms, ``gallery``
chooses the pictures, ``page`` puts them together.
"""

from git10m.report.page import Figure, write_report
from git10m.report.summary import summarise

__all__ = ["Figure", "summarise", "write_report"]
