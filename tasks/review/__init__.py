"""The review use cases: push, pull and scores."""
