"""The step train_distributed: one network on several workers, in a TrainJob or as processes on this machine."""
