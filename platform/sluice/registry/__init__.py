"""MLflow: runs, the registry, and the record of who decided about a model."""
