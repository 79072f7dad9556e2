"""One call, at either end: messages both ways within their windows."""

from __future__ import annotations

import collections
import threading
import time
from typing import TYPE_CHECKING, Callable, Sequence

from .connection import Call, read
from .errors import CallError, Code
from .v1 import broker_pb2 as pb
from .wire import FRAME_OVERHEAD, HALF_CLOSE, Kind, Message, Metadata, MetadataLike, entries, pairs

if TYPE_CHECKING:
    from .client import Client


class Channel:
    """A call that is made or served. Thread-safe; one thread reads and one writes."""

    def __init__(self, client: Client, session: int, id: int, method: str) -> None:
        self.client, self.session, self.id = client, session, id
        self._call = Call(id, method, [], 0)
        self._changed = threading.Condition()
        # Each with the bytes of window that come free once it is read.
        self._messages: collections.deque[tuple[bytes, int]] = collections.deque()
        self._error: CallError | None = None
        self._over = self._replied = False
        self.initial: Metadata | None = None
        self.trailing: Metadata = []

    # -- the client's thread ------------------------------------------------------------------------------------------

    def take(self, incoming: Message) -> None:
        """A frame of this call from the hub. Raises ProtocolError."""
        messages = self._call.messages(incoming)
        size = len(incoming.frames[-1]) + FRAME_OVERHEAD if messages and incoming.kind != Kind.REPLY else 0
        error = None
        with self._changed:
            if incoming.kind == Kind.WINDOW:
                self._call.window += incoming.count
            for index, message in enumerate(messages):
                self._messages.append((message, size if index == len(messages) - 1 else 0))
            if incoming.kind == Kind.HEADERS:
                self.initial = pairs(read(pb.CallStart, incoming.frames[0]).metadata)
            elif incoming.kind == Kind.REPLY:
                tail = read(pb.CallTail, incoming.frames[0])
                self.trailing = pairs(tail.metadata)
                if self.initial is None:
                    self.initial = pairs(tail.initial)
                if tail.code:
                    error = CallError(tail.code, tail.message, self.trailing)
            self._changed.notify_all()
        if incoming.kind == Kind.REPLY:
            self.end(error)
        elif incoming.kind == Kind.CANCEL:
            self.end(CallError(Code.CANCELLED, "the caller no longer waits"))

    def end(self, error: CallError | None) -> None:
        """The call is over. Without an error, what came is still to be read."""
        with self._changed:
            if self._over:
                return
            self._over, self._error = True, error
            self._changed.notify_all()
        self.client.post(self, lambda _: None, last=True)

    # -- any thread ----------------------------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more: it has ended, was cancelled, or its connection was lost."""
        return self._over

    def begun(self, deadline: float | None) -> Metadata:
        """The initial metadata, once it is there. Raises CallError."""
        with self._changed:
            self._wait(lambda: self.initial is not None or self._over, deadline)
            if self.initial is None:
                raise self._error or CallError(Code.INTERNAL, "the call ended without a beginning")
            return self.initial

    def next(self, deadline: float | None = None) -> bytes | None:
        """The next message, or None after the last. Raises CallError, once what came before was read."""
        with self._changed:
            self._wait(lambda: bool(self._messages) or self._over or self._call.half_closed, deadline)
            if self._messages and not (self._error and self._error.code == Code.CANCELLED):
                message, size = self._messages.popleft()
                more = self._call.consumed(size) if not self._over and not self._call.half_closed else 0
            elif self._error is not None:
                raise self._error
            else:
                return None
        if more:
            self.client.post(self, lambda connection: connection.send(Kind.WINDOW, self.id, more))
        return message

    def begin(self, head: pb.CallHead, requests: Sequence[bytes], last: bool) -> None:
        """Sends the head of a call that is made here."""
        self._send(Kind.CALL, [head.SerializeToString()], requests, HALF_CLOSE if last else 0)

    def write(self, messages: Sequence[bytes], last: bool = False, deadline: float | None = None) -> None:
        """Sends messages, or with `last` the end of them. Waits for room. Raises CallError if the call is over."""
        with self._changed:
            self._wait(lambda: self._call.window > 0 or not messages or self._over, deadline)
            if self._over:
                raise self._error or CallError(Code.CANCELLED, "the call is over")
        self._send(Kind.MESSAGE, [], messages, HALF_CLOSE if last else 0)

    def respond(self, response: bytes) -> None:
        """Sends a response of a call that is served here; waits for room. Raises CallError if the call is over."""
        with self._changed:
            begun, self.initial = self.initial is not None, self.initial or []
        if begun:
            return self.write([response])
        self._send(Kind.HEADERS, [pb.CallStart().SerializeToString()], [response])

    def start(self, metadata: MetadataLike) -> None:
        """Sends the initial metadata of a call that is served here, once, before the first response."""
        with self._changed:
            if self._over or self.initial is not None:
                return
            self.initial = pairs(entries(metadata))
        self._send(Kind.HEADERS, [pb.CallStart(metadata=entries(metadata)).SerializeToString()], [])

    def reply(
        self, code: int = 0, message: str = "", metadata: MetadataLike = None, responses: Sequence[bytes] = ()
    ) -> None:
        """Ends a call that is served here; nothing if it is over already."""
        with self._changed:
            if responses:
                self._wait(lambda: self._call.window > 0 or self._over, None)
            if self._over:
                return
            self._over = True
            self._changed.notify_all()
        tail = pb.CallTail(code=code, message=message, metadata=entries(metadata))
        self._send(Kind.REPLY, [tail.SerializeToString()], responses, last=True)

    def cancel(self) -> None:
        """Ends a call that was made here; nothing if it is over already."""
        with self._changed:
            if self._over:
                return
            self._over, self._error = True, CallError(Code.CANCELLED, "the call was cancelled here")
            self._changed.notify_all()
        self.client.post(self, lambda connection: connection.send(Kind.CANCEL, self.id, 0), last=True)

    # -- leaves --------------------------------------------------------------------------------------------------------

    def _wait(self, condition: Callable[[], bool], deadline: float | None) -> None:
        if not self._changed.wait_for(condition, None if deadline is None else max(0.0, deadline - time.monotonic())):
            raise CallError(Code.DEADLINE_EXCEEDED, f"{self._call.method} has not answered in time")

    def _send(
        self, kind: Kind, body: list[bytes], messages: Sequence[bytes], flags: int = 0, last: bool = False
    ) -> None:
        with self._changed:
            frames = body + self._call.frame(messages)
            # With the lock held, so that frames go in the order in which they took from the window.
            self.client.post(
                self, lambda connection: connection.send(kind, self.id, len(messages), *frames, flags=flags), last
            )
