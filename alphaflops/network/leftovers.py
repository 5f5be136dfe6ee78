"""Caches of functions that would keep tensors without data after a trace.

A network may compute position embeddings in a function that remembers its results (``functools.lru_cache``). What it
computes on fake tensors would be given back to the user's own calls later, and to the next attempt on real tensors.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

_CACHE: Final = type(lru_cache(lambda: None))
_INSIDE: Final = (dict, list, tuple, set)
DEPTH: Final = 5
"""Containers within each other that are looked into: those of the cache, then those that it remembers."""


def _caches() -> Iterator[Any]:
    return (found for found in gc.get_objects() if type(found) is _CACHE)


def _holds(found: Any, kind: type, depth: int = DEPTH) -> bool:
    if isinstance(found, kind):
        return True
    # A cache's links are of a type that has no public name.
    looked = isinstance(found, (_CACHE, *_INSIDE)) or type(found).__name__ == "_lru_list_elem"
    return looked and depth > 0 and any(_holds(part, kind, depth - 1) for part in gc.get_referents(found))


@contextmanager
def forgotten(kind: type) -> Iterator[None]:
    """Empty the caches that came to hold an object of a kind meanwhile.

    Parameters
    ----------
    kind : type
        Of what must not be remembered, such as fake tensors.
    """
    before = {id(cache): cache.cache_info().misses for cache in _caches()}
    try:
        yield
    finally:
        for cache in _caches():
            if cache.cache_info().misses > before.get(id(cache), 0) and _holds(cache, kind):
                cache.cache_clear()
