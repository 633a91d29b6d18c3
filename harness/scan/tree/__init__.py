"""A checkpoint as a tree of entries, wherever it lies: a folder, one file, a wheel, the hub."""
