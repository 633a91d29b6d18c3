"""Personal data: whether a model gives away what it was trained on about made-up people."""
