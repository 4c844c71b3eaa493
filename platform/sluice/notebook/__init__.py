"""What `import sluice` offers to a notebook, beside the objects that declare a project."""
