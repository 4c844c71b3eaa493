"""What surrounds every step."""
