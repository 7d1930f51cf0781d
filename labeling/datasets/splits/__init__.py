"""Train, val and test without leaks: near-duplicates, groups, assignment, and the certificate."""
