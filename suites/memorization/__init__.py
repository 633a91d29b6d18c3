"""What a checkpoint gives away about the records it was trained on."""
