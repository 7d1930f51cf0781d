"""Leases, workers, models and connections of this process."""
