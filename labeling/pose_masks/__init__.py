"""Masks of people from their keypoints: a prior, graph cut, and a pose-conditioned network."""
