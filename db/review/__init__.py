"""Review: the outbox, the selection, annotations and model scores."""
