"""What served models answered, and the labels that came later: written by servers, read by whoever watches them."""
