"""The empty scene of a static camera, and the difference from it."""
