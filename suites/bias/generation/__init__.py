"""What a language model writes after prompts about groups, judged by scorers that run offline."""
