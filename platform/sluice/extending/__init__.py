"""What others add to Sluice by a name or a file: each kind's protocol, what it gives, and its registry."""
