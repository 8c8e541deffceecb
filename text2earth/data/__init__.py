"""Shards → batches: which rows there are, and training examples by sample counter."""

from text2earth.data.credits import Credit, DatasetIdentity
from text2earth.data.examples import EncodedRow, Example, Examples
from text2earth.data.filters import RowFilter
from text2earth.data.index import ShardIndex, mixture, scan
from text2earth.data.latent_cache import LatentCache
from text2earth.data.loader import Batch, batches, collate, encoded_batches
from text2earth.data.order import Order
from text2earth.data.view import View, ViewKind

__all__ = [
    "Batch",
    "Credit",
    "DatasetIdentity",
    "EncodedRow",
    "Example",
    "Examples",
    "LatentCache",
    "Order",
    "RowFilter",
    "ShardIndex",
    "View",
    "ViewKind",
    "batches",
    "collate",
    "encoded_batches",
    "mixture",
    "scan",
]
