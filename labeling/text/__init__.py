"""Numbers, plurals and names for people."""
