"""Students: semantic person networks that are trained on a dataset version, exported, and compared."""
