"""What makes a folder of shards a dataset that others can use, and brings it to them.

index        rows without images         manifest     what a folder says of itself
card         README.md for people        survey       what the index says of all rows
licences     what may go out             selection    which rows go
notice       credits                     stac         collection, and the scenes as stac-geoparquet
croissant    for machines                tars, columns  exports: WebDataset, Git-10M's columns
release      all of it in one place      delivery     in an order that survives interruptions
publishing   the whole way               targets      a folder, S3, the hub

Index and card are made from what the build left in the folder (``data/``, ``manifest.json``), hold no date or machine
name, and so come out byte for byte the same however often they are written.
"""

from git10m.publish.card import write_card
from git10m.publish.index import INDEX_COLUMNS, SPLITS, index_schema, write_index
from git10m.publish.manifest import read_manifest, write_text

__all__ = ["INDEX_COLUMNS", "SPLITS", "index_schema", "read_manifest", "write_card", "write_index", "write_text"]
