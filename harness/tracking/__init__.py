"""MLflow: sessions, runs, what is logged and what is read back."""
