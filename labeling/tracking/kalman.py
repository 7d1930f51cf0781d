"""Kalman filter of coordinates that move at a nearly constant velocity, with time in seconds.

Each coordinate is filtered alone, so a box, a point or 17 keypoints are arrays of coordinates.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
CHI2_99 = {1: 6.63, 2: 9.21, 4: 13.28}
"""99th percentile of chi-squared by degrees of freedom: a larger `distance` is an outlier."""


@dataclass(frozen=True, slots=True, eq=False)
class KalmanState:
    """Positions and velocities with their covariances, each an array of one shape.

    >>> state = KalmanState.start([10.0, 20.0], position_std=1.0, velocity_std=30.0)
    >>> for t in (1, 2, 3):
    ...     state = state.predict(dt_s=1.0, acceleration_std=1.0).update([10.0 + 5 * t, 20.0], position_std=1.0)
    >>> state.predict(dt_s=1.0, acceleration_std=1.0).position.round(0)
    array([30., 20.])
    """

    position: FloatArray
    velocity: FloatArray
    """Per second."""
    position_variance: FloatArray
    covariance: FloatArray
    """Of position and velocity."""
    velocity_variance: FloatArray

    @classmethod
    def start(cls, position: ArrayLike, *, position_std: ArrayLike, velocity_std: ArrayLike) -> Self:
        """Return the state after a first measurement: at rest, the velocity unknown by `velocity_std`."""
        measured = np.asarray(position, dtype=np.float64)
        zeros = np.zeros_like(measured)
        return cls(
            position=measured,
            velocity=zeros,
            position_variance=zeros + np.square(position_std),
            covariance=zeros,
            velocity_variance=zeros + np.square(velocity_std),
        )

    def predict(self, *, dt_s: float, acceleration_std: ArrayLike) -> Self:
        """Return the state `dt_s` later; the acceleration is white noise (Bar-Shalom, 2001, 6.3.2)."""
        noise = np.square(acceleration_std)
        return type(self)(
            position=self.position + dt_s * self.velocity,
            velocity=self.velocity,
            position_variance=self.position_variance
            + 2 * dt_s * self.covariance
            + dt_s**2 * self.velocity_variance
            + dt_s**4 / 4 * noise,
            covariance=self.covariance + dt_s * self.velocity_variance + dt_s**3 / 2 * noise,
            velocity_variance=self.velocity_variance + dt_s**2 * noise,
        )

    def update(self, measured: ArrayLike, *, position_std: ArrayLike) -> Self:
        """Return the state after a measurement; coordinates that are NaN keep their prediction."""
        values = np.asarray(measured, dtype=np.float64)
        seen = np.isfinite(values)
        error = np.where(seen, values - self.position, 0.0)
        total = self.position_variance + np.square(position_std)
        gain = np.where(seen, self.position_variance / total, 0.0)
        velocity_gain = np.where(seen, self.covariance / total, 0.0)
        return type(self)(
            position=self.position + gain * error,
            velocity=self.velocity + velocity_gain * error,
            position_variance=(1 - gain) * self.position_variance,
            covariance=(1 - gain) * self.covariance,
            velocity_variance=self.velocity_variance - velocity_gain * self.covariance,
        )

    def distance(self, measured: ArrayLike, *, position_std: ArrayLike) -> FloatArray:
        """Return the squared Mahalanobis distance of a measurement, summed over the last axis."""
        error = np.asarray(measured, dtype=np.float64) - self.position
        total = self.position_variance + np.square(position_std)
        return np.asarray((error**2 / total).sum(axis=-1), dtype=np.float64)
