"""Background matting: alpha and foreground of people in front of a known background."""
