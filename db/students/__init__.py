"""Students: reads and writes."""
