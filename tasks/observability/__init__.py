"""Artifacts, progress, events and final states in Prefect."""
