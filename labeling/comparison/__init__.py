"""IoU, boundary IoU, matching and mismatch causes."""
