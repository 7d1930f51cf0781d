"""Writing and reading datasets."""
