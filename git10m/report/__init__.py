"""The report of a dataset: one HTML file that opens offline, and the same figures for machines and as text.

``summary`` reads the columns once (``tally`` counts, ``wording`` reads captions, ``footprints`` gathers places),
``story`` tells what went where, ``gallery`` chooses pictures and ``cards`` words them, ``maps`` and ``charts`` draw,
``sections`` and ``page`` put it together; ``words`` writes it as text.
"""

from git10m.report.page import Figure, write_report
from git10m.report.summary import summarise
from git10m.report.words import in_words

__all__ = ["Figure", "in_words", "summarise", "write_report"]
