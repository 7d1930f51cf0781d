"""Prefect flows, one file per thing a user asks for, and the command line."""
