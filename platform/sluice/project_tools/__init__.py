"""Tools around a project: proposing one from a file, and checking one."""
