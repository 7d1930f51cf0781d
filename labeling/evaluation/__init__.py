"""Metrics of a run's models and decisions against ground truth."""
