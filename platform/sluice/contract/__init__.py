"""The data contract: what a lake's tables hold, and when each value is known."""
