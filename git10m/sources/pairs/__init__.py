"""Existing sets of images and captions: RSICD, UCM and Sydney, COCO captions, tables, class folders, Git-10M itself.

annotations   what each format says of its images          tables       Git-10M, parquet or Arrow
index         the list of all images, on the disk          reading      images of the list
"""

from git10m.sources.pairs.reading import Pairs, open_pairs

__all__ = ["Pairs", "open_pairs"]
