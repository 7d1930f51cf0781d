"""Decoding video and image folders."""
