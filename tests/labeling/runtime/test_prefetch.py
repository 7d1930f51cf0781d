"""Prefetching and timing."""

import ast
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labeling.runtime.prefetch import Stopwatch, prefetch

ROOT = Path(__file__).parents[3]
WAITS_FOR_THREADS = {"ThreadPoolExecutor", "BoundedThreadPool", "prefetch", "saving", "repeat"}


def test_all_items_come_in_order() -> None:
    with prefetch(range(100), depth=3) as ahead:
        assert list(ahead) == list(range(100))


def test_at_most_depth_items_are_made_ahead() -> None:
    made: list[int] = []

    def make() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    with prefetch(make(), depth=4) as ahead:
        assert next(ahead) == 0
        time.sleep(0.3)
        assert len(made) <= 1 + 4 + 1  # taken, queued, and one that waits for room


def test_an_error_is_raised_after_the_items_before_it() -> None:
    def break_off() -> Iterator[int]:
        yield 1
        raise LookupError("the file ended")

    with prefetch(break_off(), depth=2) as ahead:
        assert next(ahead) == 1
        with pytest.raises(LookupError, match="the file ended"):
            next(ahead)


def test_leaving_early_ends_the_thread_and_closes_the_iterator() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    with prefetch(endless(), depth=2) as ahead:
        next(ahead)
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]
    assert closed.is_set()


def is_context_manager(function: ast.FunctionDef) -> bool:
    return any("contextmanager" in ast.unparse(decorator) for decorator in function.decorator_list)


def own_nodes(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """All nodes of a function, without those of the functions in it."""
    todo: list[ast.AST] = [*function.body]
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)


def called(function: ast.FunctionDef) -> set[str]:
    calls = [node.func for node in own_nodes(function) if isinstance(node, ast.Call)]
    return {call.attr if isinstance(call, ast.Attribute) else ast.unparse(call) for call in calls}


def test_no_generator_waits_for_threads() -> None:
    """The garbage collector closes an abandoned generator in any thread, whatever lock that thread holds."""
    found = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
        for folder in ("configs", "db", "flows", "labeling", "maskmill", "tasks")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef) and not is_context_manager(function)
        if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own_nodes(function))
        if called(function) & WAITS_FOR_THREADS
    ]
    assert found == []


def test_a_stopwatch_adds_up_per_stage() -> None:
    watch = Stopwatch()
    for _ in range(2):
        with watch.time("teacher"):
            time.sleep(0.02)
    list(watch.time_items("decode", range(3)))
    assert 0.04 <= watch.seconds["teacher"] < 0.5
    assert set(watch.seconds) == {"teacher", "decode"}
