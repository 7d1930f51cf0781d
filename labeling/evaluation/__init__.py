"""How right a run's models and decisions are, by ground truth."""
