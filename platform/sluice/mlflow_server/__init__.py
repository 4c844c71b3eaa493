"""What runs in the pods of MLflow: `migrate` brings its database up to date, `wait` waits for that, `serve` serves."""
