"""What publishers, workers, callers and servers have in common."""

from __future__ import annotations

import logging
import queue
import signal
import threading
import time
from typing import Any, Callable, Generic, TypeVar

from .client import Client
from .errors import TocsinError
from .identity import Identity

log = logging.getLogger("tocsin")

_P = TypeVar("_P", bound="Peer")
_W = TypeVar("_W")


class Peer:
    """Something with a client: its own if it is made of an endpoint, else one that is shared and closed by whoever made
    it."""

    def __init__(self, hub: str | Identity | Client | None, name: str, role: str) -> None:
        self._owns = not isinstance(hub, Client)
        self.client = hub if isinstance(hub, Client) else Client(hub, name, role)

    def __enter__(self: _P) -> _P:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Says goodbye, unless the client is shared. Safe to call twice."""
        if self._owns:
            self.client.close()


class Running(Peer):
    """A peer that works until it is stopped. In a `with` it works as long as the block lasts."""

    def __init__(self, hub: str | Identity | Client | None, name: str, role: str) -> None:
        super().__init__(hub, name, role)
        self.failure: TocsinError | None = None

    def __enter__(self: _P) -> _P:
        try:
            self.start()  # type: ignore[attr-defined]
        except BaseException:
            self.close()
            raise
        return self

    def start(self, timeout: float | None = 30.0) -> None:
        """Begins; returns when the hub has agreed. Raises Refused, TimedOut."""
        raise NotImplementedError

    def stop(self, timeout: float = 30.0) -> bool:
        """Takes nothing new, lets what has begun end and settles it, then closes. False if not all ended in time: that
        goes to others."""
        raise NotImplementedError

    def close(self) -> None:
        self.stop()
        super().close()

    def run(self) -> None:
        """Starts, and works until SIGTERM or SIGINT, then stops. See `run`."""
        run(self)


def run(*peers: Running) -> None:
    """Starts workers and servers, and lets them work until SIGTERM or SIGINT, or until one has failed; then stops them
    in reverse.

    Raises what `start` raises, and the failure. Signals are heard only if this is called on the main thread.
    """
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    begun: list[Running] = []
    try:
        for peer in peers:
            begun.append(peer)
            peer.start()
        # A signal only sets a flag: a lock might be held by what it interrupts.
        while not stopping and not any(peer.failure for peer in peers):
            time.sleep(0.1)
    finally:
        for peer in reversed(begun):
            peer.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    for peer in peers:
        if peer.failure is not None:
            raise peer.failure


class Crew(Generic[_W]):
    """Threads that take work from a queue. `work` must not raise."""

    def __init__(self, threads: int, work: Callable[[_W], None], name: str) -> None:
        if threads < 1:
            raise ValueError(f"{threads} threads; at least 1 is needed")
        self._work, self._queue = work, queue.SimpleQueue[_W | None]()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{name} {number}", daemon=True) for number in range(1, threads + 1)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, item: _W) -> None:
        self._queue.put(item)

    def stop(self, timeout: float) -> bool:
        """What has not begun is not begun any more. Whether all that had begun has ended within `timeout`."""
        self._stopping = True
        for _ in self._threads:
            self._queue.put(None)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if item is None or self._stopping:
                return
            self._work(item)
