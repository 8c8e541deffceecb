"""A polite HTTP client: what it is given is kept, what it may ask is counted, and servers set the pace.

settings    Manners: who asks, how fast, how often again          pace       rate, pauses and budgets of all processes
store       answers on the disk, each at most once asked for      client     requests, retries, checks
session     single documents
"""

from git10m.sources.http.client import Answer, Ask, Fetcher
from git10m.sources.http.session import PASSING, LongPauseError, Session
from git10m.sources.http.settings import Manners, variables_in, with_environment

__all__ = [
    "PASSING",
    "Answer",
    "Ask",
    "Fetcher",
    "LongPauseError",
    "Manners",
    "Session",
    "variables_in",
    "with_environment",
]
