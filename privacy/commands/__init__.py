"""What this room brings to the command line, found by entry point."""
