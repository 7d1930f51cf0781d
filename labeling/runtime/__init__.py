"""Threads, queues and memory of one process."""
