"""Universal triggers: words that change the answer to any text."""
