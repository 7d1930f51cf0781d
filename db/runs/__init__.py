"""Runs, shards, leases and what they wrote."""
