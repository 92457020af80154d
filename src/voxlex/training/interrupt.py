"""Ctrl-C and SIGTERM set a flag, which the training loop looks at between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether somebody has asked training to stop: the number of the signal, 0 as long as there was none."""

    def __init__(self) -> None:
        self.received = 0


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Catch the first SIGINT or SIGTERM and remember it; a second one acts as it always does.

    Outside the main thread, where Python allows no signal handlers, nothing is caught.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, frame: FrameType | None) -> None:
        request.received = number
        signal.signal(number, usual[signal.Signals(number)])

    for number in usual:
        signal.signal(number, remember)
    try:
        yield request
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
