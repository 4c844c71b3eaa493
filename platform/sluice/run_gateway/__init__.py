"""Who decides what a pod of a run may write, and says at MLflow whose it is: nginx asks (docs/security.md)."""
