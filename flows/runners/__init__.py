"""Task runners: threads, processes and clusters."""
