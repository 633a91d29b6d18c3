"""Word and sentence embedding association tests."""
