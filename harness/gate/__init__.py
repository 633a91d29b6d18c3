"""A policy and metrics in, one verdict out. Pure; nothing else in Assay decides anything."""
