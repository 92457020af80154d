"""Stop requests by Ctrl-C, SIGTERM and SIGHUP. They set a flag that the training loop checks after each step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """A flag with the number of the received signal. It is 0 as long as no signal was received."""

    def __init__(self) -> None:
        self.received = 0


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Catch the first SIGINT, SIGTERM or SIGHUP and remember it. A second signal has its usual effect.

    A SIGHUP that is ignored, as `nohup` asks, stays ignored. Outside the main thread, signals are not caught, because
    Python does not allow signal handlers there.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # Windows has none
        usual[signal.SIGHUP] = signal.getsignal(signal.SIGHUP)

    def remember(number: int, frame: FrameType | None) -> None:
        request.received = number
        for each, handler in usual.items():  # whichever comes next
            signal.signal(each, handler)

    for number in usual:
        signal.signal(number, remember)
    try:
        yield request
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
