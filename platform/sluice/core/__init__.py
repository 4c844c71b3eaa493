"""What everything stands on: errors in one line, settings, progress, files, digests. It imports nothing else."""
