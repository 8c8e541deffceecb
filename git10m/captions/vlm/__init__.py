"""Captions by models that see: behind a server, in batch files, or on this machine."""
