"""Datasets, one file each: a function that returns a `genbench.types.Dataset`."""
