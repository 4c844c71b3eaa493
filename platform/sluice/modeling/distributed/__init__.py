"""Training one network on several workers: in a TrainJob, or as processes of this machine."""
