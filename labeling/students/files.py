"""The files of a student, in the folder of its training and in the registry."""

NETWORK = "network.onnx"
"""For configs; its SHA-256 is the student's id."""
INT8 = "network_int8.onnx"
"""For chips."""
WEIGHTS = "weights.pt"
"""For a training that starts from it."""
