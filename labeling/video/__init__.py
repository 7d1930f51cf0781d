"""Decoding of videos and images."""
