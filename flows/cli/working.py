"""Show on stderr that something takes time. It loads little, so that it can begin before slow imports."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from labeling.runtime.repeat import repeat
from labeling.text.figures import duration

LINE_S = 5.0
"""Between two lines where stderr is no terminal."""
WIDTH_OF_BAR = 110
"""Characters of a terminal in which a bar has room beside the text."""
Update = Callable[[str, int, int | None], None]
"""Takes a text, what is done, and the total."""


def _ignore(text: str, done: int, total: int | None) -> None:
    """Show nothing."""


@contextmanager
def working(text: str, *, enabled: bool = True) -> Iterator[Update]:
    """Show on stderr that something takes time: a line that moves, or a new line every few seconds."""
    console = Console(stderr=True)
    if not enabled:
        yield _ignore
        return
    if not console.is_terminal:
        with _lines(text, console) as update:
            yield update
        return
    bar_column = (BarColumn(bar_width=20),) if console.width >= WIDTH_OF_BAR else ()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), *bar_column, TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(escape(text), total=None)
        yield lambda text, done, total: progress.update(
            bar, description=escape(text), completed=done, total=total
        )


@contextmanager
def _lines(text: str, console: Console) -> Iterator[Update]:
    state, begin_s = {"text": text, "shown": ""}, time.monotonic()

    def show() -> None:
        state["shown"] = state["text"]
        console.print(
            f"{state['text']} ({duration(round(time.monotonic() - begin_s))})",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def update(text: str, done: int, total: int | None) -> None:
        state["text"] = text

    show()
    with repeat(show, LINE_S, at_end=False):
        yield update
    if state["text"] != state["shown"]:
        show()
