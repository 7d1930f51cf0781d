"""Dataset formats, one file each, and their registry."""
