"""The Label Studio adapter."""
