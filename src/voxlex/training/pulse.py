"""Signs of life between the processes of a training, so that none waits for ever for one that is lost or hangs."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

_EVERY_S = 1.0
_SILENT = 15  # looks, one each second, without a sign of a process after which it counts as lost
_GRACE = 5  # looks in which training may still end by itself
_TORCH = str(Path(torch.__file__).parent)


@dataclass(frozen=True)
class Trouble:
    """Why the processes cannot go on.

    Attributes:
        what: The reason in words.
        ranks: The processes that are the reason; empty if that is not known.
        status: Exit status of a process that has ended and has said so; None if nobody has said anything.
    """

    what: str
    ranks: Sequence[int] = ()
    status: int | None = None


@dataclass
class _Sign:
    """What a process tells the others."""

    beats: int = 0
    late: bool = False  # whether its work takes longer than it should
    where: str = ""  # where its own code is; nothing while it computes or waits in torch
    status: int | None = None  # the exit status with which it ends


class Pulse:
    """Tells the other processes every second that this one is alive, and looks whether they are.

    Time counts only while this process runs, so a machine that sleeps or processes that are stopped together are no
    reason to end. If training does not end by itself after a trouble, because it waits for a lost process, the process
    is ended.

    Args:
        store: What the processes share: keys and values.
        rank: Rank of this process.
        size: Number of processes.
        end: Called with the trouble when training has not ended by itself. It must end the process.
    """

    def __init__(
        self, store: distributed.Store, *, rank: int, size: int, end: Callable[[Trouble], None] | None = None
    ) -> None:
        self.trouble: Trouble | None = None
        self._store = store
        self._rank = rank
        self._size = size
        self._end = end
        self._own = _Sign()
        self._seen = {other: _Sign() for other in range(size) if other != rank}
        self._silence = dict.fromkeys(self._seen, 0)
        self._patience: tuple[float | None] = (None,)  # a new one for each piece of work
        self._main = threading.main_thread().ident
        self._over = threading.Event()
        for name, work in (("pulse", self._beat), ("pulse of others", self._look)):
            threading.Thread(target=work, daemon=True, name=name).start()

    def expect(self, seconds: float | None) -> None:
        """Expect that the work that begins now takes at most so many seconds; None for any time."""
        self._patience = (seconds,)

    def stop(self) -> None:
        """Stop looking and telling, because all processes end."""
        self._over.set()

    def announce(self, status: int) -> None:
        """Tell the others that this process ends with an exit status, so that they end too."""
        self._own.status = status
        self._within(2.0, self._tell)

    def has_the_word(self) -> bool:
        """Return whether this process is the one to report why all end: the first that asks, and no other.

        If the store was lost with the first process, it is the second.
        """
        number = self._within(2.0, lambda: self._store.add("word", 1))
        return self._rank == 1 if number is None else number == 1

    def post(self, note: str) -> None:
        """Tell the others that something is done."""
        self._store.set(f"done/{note}", "1")

    def wait_for(self, note: str) -> None:
        """Wait, for as long as it takes, until a process posts a note, or there is a trouble."""
        while self.trouble is None and not self._store.check([f"done/{note}"]):
            time.sleep(0.1)

    def _tell(self) -> None:
        self._store.set(f"sign/{self._rank}", json.dumps(vars(self._own)))

    def _within(self, seconds: float, ask: Callable[[], Any]) -> Any:
        """Ask the store, which may be lost or may not answer; None in these cases."""
        answer: list[Any] = []

        def work() -> None:
            with suppress(RuntimeError):
                answer.append(ask())

        asking = threading.Thread(target=work, daemon=True)
        asking.start()
        asking.join(seconds)
        return answer[0] if answer else None

    def _beat(self) -> None:
        with suppress(RuntimeError):  # the store is lost, so that nobody seems to be alive
            while not self._over.is_set():
                self._own.beats += 1
                self._own.where = _place(self._main)
                self._tell()
                for other in self._seen:
                    if self._store.check([f"sign/{other}"]):
                        self._seen[other] = _Sign(**json.loads(self._store.get(f"sign/{other}")))
                self._over.wait(_EVERY_S)

    def _look(self) -> None:
        patience, waited, before = self._patience, 0, dict.fromkeys(self._seen, 0)
        while not self._over.wait(_EVERY_S):
            if self._patience is not patience:
                patience, waited = self._patience, 0
            waited += 1
            self._own.late = patience[0] is not None and waited > patience[0]
            for other, sign in list(self._seen.items()):
                self._silence[other] = 0 if sign.beats != before[other] else self._silence[other] + 1
                before[other] = sign.beats
            self.trouble = self._found()
            if self.trouble is not None:
                break
        if self.trouble is None:
            return
        ends_now = self._rank in self.trouble.ranks
        if not self._over.wait(0 if ends_now else _GRACE * _EVERY_S) and self._end is not None:
            self._end(self.trouble)

    def _found(self) -> Trouble | None:
        for rank, sign in self._seen.items():
            if sign.status is not None:
                return Trouble(f"{self._name(rank)} ended", (rank,), sign.status)
        silent = [rank for rank, looks in self._silence.items() if looks > _SILENT]
        if silent:
            rank = 0 if 0 in silent else silent[0]  # with the first, the store is lost, and all seem to be silent
            return Trouble(f"{self._name(rank)} gives no sign of life", (rank,))
        everyone = {self._rank: self._own} | self._seen
        if not all(sign.late for sign in everyone.values()):
            return None
        own_code = [rank for rank, sign in everyone.items() if sign.where]
        if len(own_code) in (0, len(everyone)):
            return Trouble("training does not get on, as a process hangs", tuple(everyone))
        rank = own_code[0]
        return Trouble(f"{self._name(rank)} hangs at {everyone[rank].where}", (rank,))

    def _name(self, rank: int) -> str:
        return f"process {rank} of {self._size}" if rank else "the first process"


def store_at(address: str, port: int) -> distributed.Store:
    """Connect to the store at which the processes have met."""
    return distributed.PrefixStore(
        "voxlex", distributed.TCPStore(address, port, is_master=False, timeout=timedelta(seconds=30))
    )


def end_process(trouble: Trouble, *, speaks: bool, others: Sequence[Any] = ()) -> None:
    """End this process at once, and those that it has started.

    Args:
        trouble: The reason.
        speaks: Whether to print it.
        others: The processes that this one has started.
    """
    if speaks:
        told = (
            f"{trouble.what}, and the others cannot continue without it; --resume continues from the last saved state"
        )
        print(f"voxlex: {told}", file=sys.stderr, flush=True)
    for process in others:
        process.kill()
    os._exit(trouble.status or 1)


def _place(thread: int | None) -> str:
    """Return the file and the line of Python at which a thread is; nothing if this is in torch."""
    frame = sys._current_frames().get(thread or 0)
    if frame is None or frame.f_code.co_filename.startswith(_TORCH):
        return ""
    return f"line {frame.f_lineno} of {Path(frame.f_code.co_filename).name}"
