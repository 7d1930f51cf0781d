"""Deployments: serve, deploy and workers."""
