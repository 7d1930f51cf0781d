"""Datasets: writers of several formats, and readers of masks and boxes made elsewhere."""
