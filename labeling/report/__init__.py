"""Self-contained HTML pages about a run and about an evaluation."""
