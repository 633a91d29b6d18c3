"""quality/lm_eval: any task of EleutherAI's lm-evaluation-harness by name, asked through the scorer."""
