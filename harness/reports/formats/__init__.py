"""How a report is set: one file for each format, found by entry point."""
