"""Refiners: from a segmenter's masks to better masks of the same people."""
