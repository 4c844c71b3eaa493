"""Who decides what a pod of a run may write at the object store: nginx asks, this answers (docs/security.md)."""
