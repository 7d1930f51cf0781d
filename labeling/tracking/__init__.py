"""The same person over time: tracks of masks and of keypoints, and masks from trajectories."""
