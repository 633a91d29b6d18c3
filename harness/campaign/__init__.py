"""One audit over several checkpoints: run cell by cell, taken up where it stopped, compared by paired rows."""
