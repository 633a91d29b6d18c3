"""Does a model answer the same where a text means the same."""
