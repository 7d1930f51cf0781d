"""Segmenters: one file per kind, one protocol."""
