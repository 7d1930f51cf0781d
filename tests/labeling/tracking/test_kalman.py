"""The Kalman filter, against the matrix form."""

import numpy as np

from labeling.tracking.kalman import KalmanState


def test_it_equals_the_filter_in_matrix_form() -> None:
    rng = np.random.default_rng(3)
    state = KalmanState.start([4.0], position_std=2.0, velocity_std=9.0)
    mean, covariance = np.array([4.0, 0.0]), np.diag([4.0, 81.0])
    for dt in rng.uniform(0.02, 0.6, 12):
        measured = float(rng.normal(10, 5))
        state = state.predict(dt_s=dt, acceleration_std=7.0).update([measured], position_std=2.0)
        step, noise = np.array([[1, dt], [0, 1]]), np.array([dt**2 / 2, dt])
        mean, covariance = step @ mean, step @ covariance @ step.T + 49 * np.outer(noise, noise)
        gain = covariance[:, 0] / (covariance[0, 0] + 4)
        mean = mean + gain * (measured - mean[0])
        covariance = covariance - np.outer(gain, covariance[0])
    found = [state.position, state.velocity, state.position_variance, state.covariance]
    assert np.allclose(np.ravel(found), [*mean, covariance[0, 0], covariance[0, 1]])
    assert np.allclose(state.velocity_variance, covariance[1, 1])


def test_a_missing_measurement_keeps_the_prediction_of_its_coordinate_alone() -> None:
    state = KalmanState.start([0.0, 0.0], position_std=1.0, velocity_std=1.0)
    after = state.update([np.nan, 2.0], position_std=1.0)
    assert after.position.tolist() == [0.0, 1.0]
    assert after.position_variance.tolist() == [1.0, 0.5]


def test_the_distance_counts_in_standard_deviations() -> None:
    state = KalmanState.start([0.0, 0.0], position_std=3.0, velocity_std=1.0)
    assert state.distance([5.0, 10.0], position_std=4.0) == 1 + 4
