"""Runs, shards, leases and their results."""
