"""Use cases of students: training, comparison, promotion."""
