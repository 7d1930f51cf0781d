"""Safe file names from the names that a browser or an archive states."""

import re
import unicodedata
from collections.abc import Collection
from pathlib import PurePosixPath

MAX_NAME_BYTES = 100
MAX_SHOWN = 200
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.I)
"""Windows cannot unpack files of these names."""


def shown_name(name: str) -> str:
    r"""Return the last part of a path without control characters, for people.

    >>> shown_name("C:\\videos\\my clip.mp4"), shown_name("../../etc/passwd"), shown_name("a\x00\u202eb.mp4")
    ('my clip.mp4', 'passwd', 'ab.mp4')
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    kept = "".join(letter for letter in last if letter.isprintable()).strip()
    suffix = PurePosixPath(kept).suffix
    if len(kept) > MAX_SHOWN and len(suffix) < MAX_SHOWN:
        kept = kept[: MAX_SHOWN - len(suffix)] + suffix
    return kept[:MAX_SHOWN] or "unnamed"


def safe_stem(name: str, taken: Collection[str] = ()) -> str:
    """Return a name without suffix that is safe on all systems, and differs from all names in `taken`.

    Names are compared without upper and lower case, which some file systems do not distinguish.

    >>> safe_stem("My clip (1).mp4"), safe_stem("..mp4"), safe_stem("CON.mov"), safe_stem("<i>.mp4")
    ('My clip (1)', 'video', 'video-CON', '_i_')
    >>> safe_stem("a.mp4", {"a", "A-2"})
    'a-3'
    """
    stem = PurePosixPath(shown_name(name)).stem
    kept = re.sub(r"[^\w .()+-]", "_", stem).strip(" .-")
    kept = kept.encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip(" .") or "video"
    if _RESERVED.fullmatch(kept):
        kept = f"video-{kept}"
    lowered = {other.casefold() for other in taken}
    unique, number = kept, 1
    while unique.casefold() in lowered:
        number += 1
        unique = f"{kept}-{number}"
    return unique
