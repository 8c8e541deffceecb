"""Fixtures that several rooms' tests share."""

from small_dataset import small_dataset, synthetic_dataset

__all__ = ["small_dataset", "synthetic_dataset"]
