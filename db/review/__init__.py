"""Review: the outbox, the selection, annotations and their scores."""
