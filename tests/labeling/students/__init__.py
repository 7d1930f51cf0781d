"""Tests of labeling.students."""
