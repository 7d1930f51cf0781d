"""Exact bounds of a share (Clopper and Pearson, Biometrika 26, 1934), of which some of a random sample were seen."""


def bad_at_most(bad: int, count: int, *, confidence: float) -> float:
    """Return the upper bound of the share of bad ones, of which `bad` of `count` were seen, in [0, 1].

    >>> bad_at_most(0, 59, confidence=0.95) < 0.05 < bad_at_most(0, 58, confidence=0.95)
    True
    """
    from scipy.stats import beta  # takes half a second

    return 1.0 if bad >= count else float(beta.ppf(confidence, bad + 1, count - bad))


def good_at_least(good: int, count: int, *, confidence: float) -> float:
    """Return the lower bound of the share of good ones, of which `good` of `count` were seen, in [0, 1].

    >>> round(good_at_least(5, 5, confidence=0.95), 2)
    0.55
    """
    return 1 - bad_at_most(count - good, count, confidence=confidence) if count else 0.0


def share_interval(bad: int, count: int, *, confidence: float) -> tuple[float, float]:
    """Return the interval of the share of bad ones, half of the error at each side, both in [0, 1].

    >>> [round(share, 3) for share in share_interval(1, 20, confidence=0.95)]
    [0.001, 0.249]
    """
    one_sided = (1 + confidence) / 2
    lower = 1 - bad_at_most(count - bad, count, confidence=one_sided)
    return lower, bad_at_most(bad, count, confidence=one_sided)
