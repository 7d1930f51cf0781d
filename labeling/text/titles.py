"""Short names of shards, on one line."""

LONGEST = 60
"""Characters of a name: Prefect's lists cut longer ones off."""


def shard_title(video: str, start_ms: int, end_ms: int | None, *, images: bool = False) -> str:
    """Return a shard's name: its video's title and its range, in seconds or in images counted from 1.

    >>> shard_title("vtest.avi", 60_000, 79_500), shard_title("shots", 64, 128, images=True)
    ('vtest.avi 60-79.5 s', 'shots images 65-128')
    >>> shard_title("vtest.avi", 60_000, None)
    'vtest.avi from 60 s'
    """
    video = shorten_middle(printable(video))
    start = str(start_ms + 1) if images else f"{start_ms / 1000:g}"
    unit = "" if images else " s"
    what = "images " if images else ""
    if end_ms is None:
        return f"{video} {what}from {start}{unit}"
    return f"{video} {what}{start}-{end_ms if images else f'{end_ms / 1000:g}'}{unit}"


def printable(text: str) -> str:
    """Return the text on one line, with `?` for characters that cannot be printed.

    >>> printable("two" + chr(10) + "lines" + chr(0xDC80))
    'two?lines?'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def shorten_middle(text: str, longest: int = LONGEST) -> str:
    """Return the text, without its middle if it is too long: names differ at their ends.

    >>> shorten_middle("a" * 30 + "b" * 30 + ".mp4", 11)
    'aaa...b.mp4'
    """
    if len(text) <= longest:
        return text
    head = (longest - 3) * 2 // 5
    return f"{text[:head]}...{text[-(longest - 3 - head) :]}"


def whole_text(text: object) -> str | None:
    """Return a page's text without halves of characters, which no file can store; None for none.

    Sites cut titles in the middle of an emoji.

    >>> whole_text("a walk " + chr(0xD83D)) == "a walk " + chr(0xFFFD), whole_text(None)
    (True, None)
    """
    if not text:
        return None
    return str(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
