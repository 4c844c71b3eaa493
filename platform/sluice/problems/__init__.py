"""What is to be learned: the task that a prepared table carries along."""
