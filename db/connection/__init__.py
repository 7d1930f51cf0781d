"""Engines, sessions, the schema and locks."""
