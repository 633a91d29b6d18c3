"""What tells members from non-members without any model: words, letters, length, years."""
