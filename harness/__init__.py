"""Assay's machine: plans, runs, measures, gates and reports an audit; knows nothing about what is measured."""

__version__ = "0.1.0"
