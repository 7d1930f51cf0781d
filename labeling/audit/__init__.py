"""Audit of labels made elsewhere: which are probably wrong, who is missing, and which images are in two splits."""
