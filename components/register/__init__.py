"""Registering the winner: files, signature, digest, card, aliases, and the record of the decision."""
