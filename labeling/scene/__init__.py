"""A rendered scene whose masks are known exactly: people in a room, seen by a static camera."""

from labeling.scene.rendering import Scene, render_scene

__all__ = ["Scene", "render_scene"]
