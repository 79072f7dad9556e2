"""Publishing: messages that are on the hub's disk when `publish` returns."""

from __future__ import annotations

import collections
import time
from typing import Iterable, Mapping, NamedTuple

from .client import Client, Request
from .errors import Refused, TimedOut
from .identity import Identity
from .peer import Peer
from .v1 import broker_pb2 as pb
from .wire import Encodable, Severity, encode, envelope

# Batches of one `publish_all` that wait for the hub's answer at once.
_WINDOW = 16


class Receipt(NamedTuple):
    """What became of a publish: the lowest sequence of those stored (0: all were duplicates), and how many were stored,
    or were there before."""

    first_sequence: int
    stored: int
    duplicates: int


class Publisher(Peer):
    """Publishes messages. Thread-safe.

        with tocsin.Publisher("tcp://127.0.0.1:7117", name="backup-sensor") as publisher:
            publisher.publish("event.script.backup", b"...", id=b"backup-2026-11-28", severity=tocsin.Severity.MAJOR)

    A message that was accepted is on the hub's disk. While the hub is away, or can store nothing, a publish waits; over
    reconnects it is sent again with the same ids, so it is stored once. After a TimedOut the same may be published
    again.
    """

    def __init__(self, hub: str | Identity | Client | None = None, *, name: str = "publisher", timeout: float = 30.0) -> None:
        """`timeout`: seconds that a publish may take in all."""
        super().__init__(hub, name, "client")
        self.timeout = timeout

    def publish(
        self,
        subject: str,
        payload: bytes | Encodable = b"",
        *,
        id: bytes | None = None,
        severity: int = Severity.INFO,
        key: str = "",
        not_before: int = 0,
        type: str = "",
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Publishes one message, made as `envelope` makes it; a protobuf message as payload tells its own `type`.

        Raises Refused (UNKNOWN_SUBJECT: no pool takes it), TimedOut, Closed.
        """
        if not isinstance(payload, bytes) and not type:
            type = payload.DESCRIPTOR.full_name
        message = envelope(subject, encode(payload), id, severity, key, not_before, type, headers)
        return self.publish_all([message], timeout)

    def publish_all(self, messages: Iterable[pb.Envelope], timeout: float | None = None) -> Receipt:
        """Publishes messages in order, in batches of the hub's bounds; returns when all are on its disk.

        Raises Refused, with the index of the first wrong message: it is not stored, as others may not be; TimedOut;
        Closed.
        """
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        self.client.ready(max(0.0, deadline - time.monotonic()))
        under_way: collections.deque[tuple[Request, int]] = collections.deque()
        receipt, failure = Receipt(0, 0, 0), None
        try:
            for first, batch in self._batches(messages):
                under_way.append((self.client.publish(batch), first))
                if len(under_way) == _WINDOW:
                    receipt = self._take(under_way, receipt, deadline)
        except (Refused, TimedOut) as problem:
            failure = problem
        # After a failure too: what is under way is waited for, so that nothing of it happens later unseen.
        while under_way:
            try:
                receipt = self._take(under_way, receipt, deadline)
            except (Refused, TimedOut) as problem:
                failure = failure or problem
        if failure is not None:
            raise failure
        return receipt

    def _batches(self, messages: Iterable[pb.Envelope]) -> Iterable[tuple[int, list[bytes]]]:
        """Encoded messages, as many as the hub takes at once, and the number of the first."""
        first, size, batch = 0, 0, list[bytes]()
        for message in messages:
            encoded = message.SerializeToString()
            if batch and (len(batch) == self.client.max_batch or size + len(encoded) + 5 > self.client.max_body):
                yield first, batch
                first, size, batch = first + len(batch), 0, []
            batch.append(encoded)
            size += len(encoded) + 5
        if batch:
            yield first, batch

    def _take(self, under_way: collections.deque[tuple[Request, int]], receipt: Receipt, deadline: float) -> Receipt:
        """Waits for the oldest batch."""
        request, first = under_way.popleft()
        try:
            what = f"it is not known whether {request.count} messages are stored; publish them again with the same ids"
            accepted: pb.Accepted = self.client.wait(request.done, max(0.0, deadline - time.monotonic()), what)
        except Refused as refusal:
            raise Refused(refusal.reason, refusal.name, refusal.code, refusal.message, first + refusal.index) from None
        finally:
            self.client.forget(request)
        sequences = [sequence for sequence in (receipt.first_sequence, accepted.first_sequence) if sequence]
        return Receipt(
            min(sequences, default=0), receipt.stored + accepted.stored, receipt.duplicates + accepted.duplicates
        )
