"""How long the next piece of work may take, by what the longest piece of its kind has taken so far."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STUCK_S = 15.0  # that a piece may take at least before its process counts as hanging
_LONGEST_TIMES = 3
_FIRST_S = 600.0  # for the first step, in which libraries start and compile


class Pace:
    """Measures pieces of work of several kinds: steps, batches of a validation, parts of a state that is saved.

    A piece may take 15 seconds, or three times the longest piece of its kind so far if that is more. The first piece of
    the outermost work, and all until some piece is done, may take ten minutes. The first of another kind is held to the
    longest of those that are known.

    Args:
        expect: Is told how many seconds the piece that begins now may take; None for any time.
    """

    def __init__(self, expect: Callable[[float | None], None]) -> None:
        self._expect = expect
        self._kind: str | None = None
        self._outermost: str | None = None
        self._began = 0.0
        self._longest_s: dict[str, float] = {}

    @contextmanager
    def of(self, kind: str) -> Iterator[None]:
        """Expect that work of a kind gets on, until the block ends. Then go on with the kind before."""
        before = self._kind
        if before is None:
            self._outermost, self._longest_s = kind, {}
        self._begin(kind)
        try:
            yield
            self.gets_on()
        finally:
            self._begin(before)

    def gets_on(self) -> None:
        """Note that a piece is done, and the next one begins. Where nothing is expected, nothing happens."""
        if self._kind is None:
            return
        took = time.monotonic() - self._began
        self._longest_s[self._kind] = max(took, self._longest_s.get(self._kind, 0.0))
        self._begin(self._kind)

    def _begin(self, kind: str | None) -> None:
        self._kind, self._began = kind, time.monotonic()
        self._expect(None if kind is None else self._patience_s(kind))

    def _patience_s(self, kind: str) -> float:
        if kind not in self._longest_s and (kind == self._outermost or not self._longest_s):
            return _FIRST_S
        longest_s = self._longest_s.get(kind, max(self._longest_s.values()))
        return max(_STUCK_S, _LONGEST_TIMES * longest_s)
