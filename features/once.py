"""What is asked more than once is answered once: of a timeline, and of what is seen of it where few ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from features.ranks import FEW

Asked = TypeVar("Asked", bound=Callable[..., Any])


def kept(make: Asked) -> Asked:
    """Make what a timeline is asked for once, and keep it in its ``_cache``."""
    name = make.__name__

    @wraps(make)
    def answer(self: Any, *what: Any) -> Any:
        question = name, *what
        found = self._cache.get(question)
        if found is None:
            found = self._cache[question] = make(self, *what)
        return found

    return answer  # type: ignore[return-value]


def once(ask: Asked) -> Asked:
    """Answer a question once where few ask: flags ask much of what features asked. Nobody may change an answer."""
    name = ask.__name__

    @wraps(ask)
    def answer(self: Any, *what: Any, **how: Any) -> Any:
        if len(self.entity) > FEW or (how and how.get("since") is not None):
            return ask(self, *what, **how)
        question = (name, what, *how.items()) if how else (name, what)
        said = self._answers.get(question)
        if said is None:
            said = self._answers[question] = ask(self, *what, **how)
            said.setflags(write=False)
        return said

    return answer  # type: ignore[return-value]
