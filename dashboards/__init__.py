"""The dashboard: reads audits from their folders and from MLflow; never a model."""
