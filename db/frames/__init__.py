"""Reads frames, their masks and their decisions."""
