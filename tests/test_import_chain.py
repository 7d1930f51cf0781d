"""How far a change can be felt: the longest chain of modules that import one another."""

from functools import cache

import grimp

PACKAGES = ("maskmill", "flows", "tasks", "db", "labeling", "configs")
LONGEST = 15
"""Imports in the longest chain. Those in functions count, those for type checking only do not."""


def test_the_longest_chain_of_imports_does_not_grow() -> None:
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)

    @cache
    def longest_from(module: str) -> tuple[str, ...]:
        below = map(longest_from, sorted(graph.find_modules_directly_imported_by(module)))
        return (module, *max(below, key=len, default=()))

    chain = max(map(longest_from, sorted(graph.modules)), key=len)
    assert len(chain) - 1 <= LONGEST, "\n".join(chain)
