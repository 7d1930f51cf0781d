"""Readers of COCO files and PNG masks."""
