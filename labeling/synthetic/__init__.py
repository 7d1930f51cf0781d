"""A rendered scene whose masks are known exactly."""
