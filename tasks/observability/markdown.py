"""Text of strangers in Prefect's markdown: a site's error message must not become an image or a link."""

import re
from collections.abc import Iterator, Sequence

from labeling.text.titles import printable, shorten_middle

LONGEST_TEXT = 400
_BAR = 48
"""Characters of the longest bar."""

_SPECIAL = re.compile(r"([\\\[\]!*_#|~])")


def plain(text: str) -> str:
    """The text as it is, on one line.

    >>> plain("no <b>such</b> ![file](http://x)")
    'no &lt;b&gt;such&lt;/b&gt; \\\\!\\\\[file\\\\](http://x)'
    """
    line = shorten_middle(printable(" ".join(text.split())), LONGEST_TEXT)
    escaped = _SPECIAL.sub(r"\\\1", line.replace("`", "'"))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """A name in the type of code.

    >>> code("a`b.mp4")
    "`a'b.mp4`"
    """
    return f"`{shorten_middle(printable(text), LONGEST_TEXT).replace('`', chr(39))}`"


def bar_lines(counts: Sequence[int]) -> Iterator[str]:
    """A histogram over [0, 1] in letters; something is never drawn as nothing.

    >>> print(*bar_lines([96, 1]), sep="|")
    0.0-0.5     96 ████████████████████████████████████████████████|0.5-1.0      1 █
    """
    most = max(counts, default=0)
    for number, frames in enumerate(counts):
        low, high = number / len(counts), (number + 1) / len(counts)
        bar = "█" * max(round(_BAR * frames / most), 1) if frames else ""
        yield f"{low:.1f}-{high:.1f} {frames:>6,} {bar}".rstrip()
