"""What a model fills into templates about people."""
