"""Shards → batches: which rows there are, and training examples by sample counter."""

from text2earth.data.examples import Batch, Example, Examples, View, ViewKind, batches
from text2earth.data.index import Credit, DatasetIdentity, RowFilter, RowGroup, ShardIndex, scan

__all__ = [
    "Batch",
    "Credit",
    "DatasetIdentity",
    "Example",
    "Examples",
    "RowFilter",
    "RowGroup",
    "ShardIndex",
    "View",
    "ViewKind",
    "batches",
    "scan",
]
