"""What every layer stands on: it imports nothing of ours but errors and texts."""
