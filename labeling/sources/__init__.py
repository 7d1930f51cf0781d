"""From what a user typed to files on disk, with where they came from."""
