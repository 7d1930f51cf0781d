"""Drawing masks, text and panels on images."""
