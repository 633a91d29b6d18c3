"""quality/multiple_choice: questions with choices of the user's own, answered by likelihood."""
