"""The data contract: what each table of a lake holds, and when each column is known."""
