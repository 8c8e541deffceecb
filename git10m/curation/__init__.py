"""What is kept: measures of a tile, verdicts with reasons, duplicates, splits."""
