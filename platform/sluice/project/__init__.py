"""A user's project: the file that declares it, what may stand there, and the commands that write and check it."""
