"""Plain values: masks, instances, frames and records."""
