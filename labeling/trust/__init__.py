"""Evidence about the teacher's masks, and the decision to accept a hard frame or send it to review."""
