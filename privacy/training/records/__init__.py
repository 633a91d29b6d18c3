"""What a training leaves: progress, a row for each step, the checkpoint, the result."""
