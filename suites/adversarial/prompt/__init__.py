"""The recipes' changes on a prompt, against a causal language model."""
