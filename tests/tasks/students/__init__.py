"""Tests of tasks.students."""
