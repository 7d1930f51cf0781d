"""Reads and writes dataset versions."""
