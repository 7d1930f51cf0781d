"""Values formatted for reasons and rejections."""

from collections.abc import Iterable

_MOST_DIGITS = 6


def format_below(value: float, limit: float) -> str:
    """Format `0.43 < 0.70`: two digits, or as many (up to six) as show the difference."""
    return " < ".join(texts_below(value, limit))


def format_share_below(share: float, limit: float, *, what: str = "") -> str:
    """Format `70 % inside < 90 %`: whole per cent, or as many digits (up to four) as show the difference."""
    shown, shown_limit = share_texts_below(share, limit)
    return f"{shown}{' ' * bool(what)}{what} < {shown_limit}"


def texts_below(value: float, limit: float) -> tuple[str, str]:
    """Return a value and the limit above it, as `format_below` shows them.

    >>> texts_below(0.6996, 0.7)
    ('0.6996', '0.7000')
    """
    return _distinct(value, limit, range(2, _MOST_DIGITS + 1))


def share_texts_below(share: float, limit: float) -> tuple[str, str]:
    """Return a share and the limit above it in per cent, as `format_share_below` shows them."""
    shown, shown_limit = _distinct(100 * share, 100 * limit, range(_MOST_DIGITS - 1))
    return f"{shown} %", f"{shown_limit} %"


def _distinct(value: float, limit: float, digits: Iterable[int]) -> tuple[str, str]:
    """Return both with as many digits as show the difference, or the most."""
    texts = [(f"{value:.{count}f}", f"{limit:.{count}f}") for count in digits]
    return next((pair for pair in texts if pair[0] != pair[1]), texts[-1])


def format_percent(share: float) -> str:
    """Format `5 %`, `0.5 %`: at most three digits."""
    return f"{100 * share:.3g} %"


def format_people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def format_masks(count: int) -> str:
    return "1 mask" if count == 1 else f"{count} masks"


def format_objects(count: int) -> str:
    """Format people and objects of other categories together."""
    return "1 object" if count == 1 else f"{count} objects"
