"""Segmenters: anything that turns frames into instances. One file per kind, one protocol."""

from labeling.segmenters.protocol import Segmenter

__all__ = ["Segmenter"]
