"""Values formatted for reasons and rejections."""

_MOST_DIGITS = 6


def format_below(value: float, limit: float) -> str:
    """Format `0.43 < 0.70`: two digits, or as many (up to six) as show the difference."""
    for digits in range(2, _MOST_DIGITS + 1):
        texts = f"{value:.{digits}f}", f"{limit:.{digits}f}"
        if texts[0] != texts[1]:
            break
    return " < ".join(texts)


def format_share_below(share: float, limit: float, *, what: str = "") -> str:
    """Format `70 % inside < 90 %`: whole per cent, or as many digits (up to four) as show the difference."""
    for digits in range(_MOST_DIGITS - 1):
        texts = f"{100 * share:.{digits}f} %", f"{100 * limit:.{digits}f} %"
        if texts[0] != texts[1]:
            break
    return f"{texts[0]}{' ' * bool(what)}{what} < {texts[1]}"


def format_percent(share: float) -> str:
    """Format `5 %`, `0.5 %`: at most three digits."""
    return f"{100 * share:.3g} %"


def format_people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def format_masks(count: int) -> str:
    return "1 mask" if count == 1 else f"{count} masks"
