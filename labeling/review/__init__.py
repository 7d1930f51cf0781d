"""Review: what is asked first, and the consensus of the answers."""
