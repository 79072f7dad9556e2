"""One session with a hub, step by step: what `Client` and the classes above it are made of, and what tests use.

hub = tocsin.Connection("tcp://127.0.0.1:7117", name="my-script")
hub.declare("mine", ["event.>"])
hub.publish([tocsin.envelope("event.script.backup", payload=b"...")])
mine = hub.subscribe("mine", credit=10)
for delivery in hub.deliveries(mine, timeout=5):
    hub.settle(mine, [(delivery, tocsin.Outcome.ACK)])
"""

from __future__ import annotations

import collections
import struct
import time as clock
from typing import Any, Callable, Iterable, Iterator, Protocol, Sequence, TypeVar

import zmq
from google.protobuf.message import DecodeError
from zmq.utils.monitor import recv_monitor_message

from .errors import CallError, Code, Lost, NotAdmitted, ProtocolError, Refused, TimedOut
from .identity import Identity
from .v1 import broker_pb2 as pb
from .wire import (
    DELIVERY_ROW,
    FRAME_OVERHEAD,
    HALF_CLOSE,
    SETTLE_ROW,
    WINDOW_BYTES,
    Delivery,
    Encodable,
    Gap,
    Kind,
    Message,
    Metadata,
    MetadataLike,
    Outcome,
    Tapped,
    encode,
    entries,
    header,
    length_prefixed,
    pairs,
    parse,
    split,
)

SOFTWARE = "tocsin-python 0.1.0"

_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH


def _why_refused(endpoint: str, event: int, value: int) -> str:
    if event == _REFUSED:
        return f"the hub at {endpoint} does not let this key in (status {value}): it is not authorised there, or was revoked"
    return f"the hub at {endpoint} wants a key, or is not the holder of the hub's key; set TOCSIN_IDENTITY to a key file"


_T = TypeVar("_T", covariant=True)
_M = TypeVar("_M")


class Decodable(Protocol[_T]):
    """The class of a protobuf message."""

    def FromString(self, s: bytes, /) -> _T: ...


def read(type: Decodable[_M], data: bytes) -> _M:
    """A message of the hub's. Raises ProtocolError if it does not parse."""
    try:
        return type.FromString(data)
    except DecodeError as error:
        raise ProtocolError(f"a {getattr(type, '__name__', 'message')} that does not parse: {error}") from None


def raise_if_status(answer: Message) -> None:
    """Raises Refused for a status that is not OK."""
    if answer.kind == Kind.STATUS and answer.reason != 0:
        status = read(pb.Status, answer.frames[0])
        raise Refused(answer.reason, status.reason, status.code, status.message, status.index)


def read_deliveries(batch: Message, unreadable: Callable[[Delivery, str], None] | None = None) -> list[Delivery]:
    """What a `deliver` brings. Raises ProtocolError. The hub passes on what its publisher wrote: what is no envelope
    goes to `unreadable`, if that is given."""
    envelopes = split(batch.frames[1])
    if len(batch.frames[0]) != DELIVERY_ROW.size * len(envelopes) or len(envelopes) != batch.count:
        raise ProtocolError(
            f"{batch.count} deliveries, {len(envelopes)} envelopes, a table of {len(batch.frames[0])} bytes"
        )
    deliveries = []
    for (sequence, token, attempt), encoded in zip(DELIVERY_ROW.iter_unpack(batch.frames[0]), envelopes):
        try:
            deliveries.append(Delivery(sequence, token, attempt, read(pb.Envelope, encoded), encoded))
        except ProtocolError as problem:
            if unreadable is None:
                raise
            unreadable(Delivery(sequence, token, attempt, pb.Envelope(), encoded), str(problem))
    return deliveries


class Call:
    """A call that was made or is served here. `initial` and `trailing` are the response's metadata, as pairs."""

    def __init__(self, id: int, method: str, metadata: Metadata, timeout_ms: int) -> None:
        self.id, self.method, self.metadata, self.timeout_ms = id, method, metadata, timeout_ms
        self.initial: Metadata = []
        self.trailing: Metadata = []
        self.waiting: list[bytes] = []
        self.half_closed = False
        # Bytes that may be sent, and bytes that were read and not given back.
        self.window, self.used = WINDOW_BYTES, 0

    def frame(self, messages: Sequence[bytes]) -> list[bytes]:
        """The body frame of messages, none for none; takes them from the window."""
        if not messages:
            return []
        body = length_prefixed(messages)
        self.window -= len(body) + FRAME_OVERHEAD
        return [body]

    def messages(self, incoming: Message) -> list[bytes]:
        """The messages of a frame of the call. Raises ProtocolError."""
        if incoming.kind in (Kind.CALL, Kind.MESSAGE) and incoming.flags & HALF_CLOSE:
            self.half_closed = True
        frames = incoming.frames if incoming.kind == Kind.MESSAGE else incoming.frames[1:]
        return split(frames[0]) if incoming.kind != Kind.STATUS and frames else []

    def consumed(self, size: int) -> int:
        """What to give back to the window, now that `size` bytes more were read: 0 for nothing yet."""
        self.used += size
        if self.used < WINDOW_BYTES // 4:
            return 0
        more, self.used = self.used, 0
        return more


class Connection:
    """A session with a hub; it ends with `close`, or when any method raises Lost.

    Not thread-safe: all of it on one thread. Every wait has a deadline in seconds and keeps the session alive
    meanwhile; between calls of its methods nothing does, so call something at least every two seconds, or be taken for
    lost.
    """

    def __init__(
        self,
        hub: str | Identity,
        name: str,
        role: str = "client",
        timeout: float = 10.0,
        heartbeat_ms: int = 0,
        software: str = SOFTWARE,
    ) -> None:
        """Connects and waits for the hub's welcome. `hub`: an endpoint, or an identity with a hub of its own.

        `heartbeat_ms`: the longest silence that this peer promises; 0: the hub's default. Raises TimedOut without a
        hub, NotAdmitted, Refused, ProtocolError.
        """
        self.endpoint = hub.hub if isinstance(hub, Identity) else hub
        self.wakeup: int | None = None
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        # Milliseconds in which the hub must take something.
        self.socket.setsockopt(zmq.SNDTIMEO, 5000)
        self.poller = zmq.Poller()
        # One counter for requests, subscriptions, taps and calls: a status does not say which of them its id is of.
        self.last_id = 0
        # Received and not yet asked for. Bounded by what was asked: credit, and requests without an answer.
        self.inbox: collections.deque[Message] = collections.deque()
        self.said = self.heard = clock.monotonic()
        self.heartbeat = 2.0
        self.is_welcome = False
        self.welcome = pb.Welcome()
        try:
            if isinstance(hub, Identity):
                self.socket.curve_serverkey = hub.hub_public_key.encode()
                self.socket.curve_publickey = hub.public_key.encode()
                self.socket.curve_secretkey = hub.secret_key.encode()
            handshakes = self.socket.get_monitor_socket(_REFUSED | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
            self.socket.connect(self.endpoint)
            self.poller.register(self.socket, zmq.POLLIN)
            try:
                self._begin(
                    pb.Hello(name=name, role=role, software=software, heartbeat_ms=heartbeat_ms), timeout, handshakes
                )
            finally:
                self.socket.disable_monitor()
        except BaseException:
            self.socket.close(linger=0)
            raise

    def _begin(self, hello: pb.Hello, timeout: float, handshakes: zmq.Socket[bytes]) -> None:
        deadline = clock.monotonic() + timeout
        while not self.is_welcome:
            self.send(Kind.HELLO, 0, 0, hello.SerializeToString())
            try:
                answer = self.take(lambda m: m.kind in (Kind.WELCOME, Kind.STATUS) and m.id == 0, min(1.0, timeout))
            except TimedOut:
                if handshakes.poll(0):
                    event = recv_monitor_message(handshakes)
                    raise NotAdmitted(_why_refused(self.endpoint, event["event"], event["value"])) from None
                if clock.monotonic() > deadline:
                    raise TimedOut(
                        f"no welcome from {self.endpoint} in {timeout} s; is the hub running there?"
                    ) from None
                continue
            raise_if_status(answer)
            self.welcome = read(pb.Welcome, answer.frames[0])
            self.is_welcome = True
            self.heartbeat = self.welcome.heartbeat_ms / 1000 or 2.0

    # -- messages ---------------------------------------------------------------------------------------------------

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def send_raw(self, frames: Sequence[bytes]) -> None:
        """Sends any frames; for tests."""
        try:
            self.socket.send_multipart(frames)
        except zmq.Again:
            raise Lost("the hub has taken nothing for 5 s") from None
        self.said = clock.monotonic()

    def send(self, kind: int, id: int, count: int, *body: bytes, flags: int = 0) -> None:
        """Sends one message."""
        self.send_raw([header(kind, id, count, flags=flags), *body])

    def watch(self, wakeup: int) -> None:
        """From now on `receive` returns None as soon as this file descriptor is readable."""
        self.wakeup = wakeup
        self.poller.register(wakeup, zmq.POLLIN)

    def receive(self, timeout: float) -> Message | None:
        """The next message from the hub that is not an answer to a heartbeat of its own, or None. Raises Lost."""
        deadline = clock.monotonic() + timeout
        while True:
            now = clock.monotonic()
            # The hub's silence is a reason too: its answer tells that it is still there.
            if (
                self.is_welcome
                and now - min(self.said, self.heard) > self.heartbeat / 2
                and now - self.said > self.heartbeat / 4
            ):
                self.send(Kind.HEARTBEAT, 0, 0)
            wait = max(0.0, min(deadline - now, self.heartbeat / 4))
            ready = dict(self.poller.poll(round(wait * 1000)))
            if self.socket not in ready:
                if self.is_welcome and clock.monotonic() - self.heard > 3 * self.heartbeat:
                    raise Lost(f"no word from the hub for {3 * self.heartbeat} s")
                if self.wakeup in ready or clock.monotonic() >= deadline:
                    return None
                continue
            received = parse(self.socket.recv_multipart())
            self.heard = clock.monotonic()
            if received is None:
                continue
            if received.kind == Kind.GOODBYE:
                raise Lost("the hub said goodbye")
            if received.kind != Kind.HEARTBEAT or received.id != 0:
                return received

    def take(self, match: Callable[[Message], bool], timeout: float) -> Message:
        """The first message that matches; others wait in the inbox. Raises TimedOut, Lost."""
        for waiting in self.inbox:
            if match(waiting):
                self.inbox.remove(waiting)
                return waiting
        deadline = clock.monotonic() + timeout
        while True:
            received = self.receive(max(0.0, deadline - clock.monotonic()))
            if received is None:
                raise TimedOut(f"no answer in {timeout} s")
            if match(received):
                return received
            self.inbox.append(received)

    def answer(self, id: int, kinds: Sequence[Kind] = (Kind.STATUS,), timeout: float = 10.0) -> Message:
        """The answer to a request. Raises Refused, TimedOut, Lost."""
        answer = self.take(lambda m: m.id == id and m.kind in kinds, timeout)
        raise_if_status(answer)
        return answer

    def close(self) -> None:
        """Says goodbye: what was delivered and not settled goes to others. Safe to call twice."""
        if self.socket.closed:
            return
        self.send(Kind.GOODBYE, 0, 0)
        self.socket.close(linger=200)

    def drop(self) -> None:
        """Ends the session without a word, as a crash does."""
        self.socket.close(linger=0)

    # -- publishing -------------------------------------------------------------------------------------------------

    def begin_publish(self, envelopes: Iterable[pb.Envelope]) -> int:
        """Sends a batch and returns its id for `end_publish`; several may be on their way at once."""
        id = self.next_id()
        encoded = [e.SerializeToString() for e in envelopes]
        self.send(Kind.PUBLISH, id, len(encoded), length_prefixed(encoded))
        return id

    def end_publish(self, id: int, timeout: float = 10.0) -> pb.Accepted:
        return read(pb.Accepted, self.answer(id, (Kind.ACCEPTED, Kind.STATUS), timeout).frames[0])

    def publish(self, envelopes: Iterable[pb.Envelope], timeout: float = 10.0) -> pb.Accepted:
        """Returns when the whole batch is on the hub's disk. Raises Refused: none of it was stored."""
        return self.end_publish(self.begin_publish(envelopes), timeout)

    # -- pools ------------------------------------------------------------------------------------------------------

    def declare(
        self,
        name: str,
        filters: Iterable[str],
        visibility_ms: int = 0,
        max_attempts: int = 0,
        from_start: bool = False,
        timeout: float = 10.0,
    ) -> None:
        """Creates a pool, or confirms it; 0 is the hub's default."""
        spec = pb.PoolSpec(
            name=name, filters=filters, visibility_ms=visibility_ms, max_attempts=max_attempts, from_start=from_start
        )
        id = self.next_id()
        self.send(Kind.DECLARE, id, 0, spec.SerializeToString())
        self.answer(id, timeout=timeout)

    def subscribe(self, pool: str, credit: int, timeout: float = 10.0) -> int:
        """Joins a pool; returns the id of the subscription."""
        id = self.next_id()
        self.send(Kind.SUBSCRIBE, id, 0, pb.Subscribe(pool=pool, credit=credit).SerializeToString())
        self.answer(id, timeout=timeout)
        return id

    def add_credit(self, id: int, more: int) -> None:
        self.send(Kind.CREDIT, id, more)

    def unsubscribe(self, id: int) -> None:
        """Ends a subscription or a tap."""
        self.send(Kind.UNSUBSCRIBE, id, 0)

    def deliveries(self, subscription: int, timeout: float = 10.0) -> list[Delivery]:
        """The next batch of a subscription."""
        return read_deliveries(self.take(lambda m: m.kind == Kind.DELIVER and m.id == subscription, timeout))

    def settle(self, subscription: int, settlements: Iterable[Sequence[Any]]) -> None:
        """Each settlement: (delivery, ACK), (delivery, RETRY, delay in ms, reason) or (delivery, REJECT, 0, reason)."""
        rows, reasons = [], []
        for delivery, outcome, *more in settlements:
            rows.append(SETTLE_ROW.pack(delivery.sequence, delivery.token, outcome, more[0] if more else 0))
            if outcome != Outcome.ACK:
                reasons.append((more[1] if len(more) > 1 else "").encode())
        body = [b"".join(rows)] + ([length_prefixed(reasons)] if reasons else [])
        self.send(Kind.SETTLE, subscription, len(rows), *body)

    # -- taps -------------------------------------------------------------------------------------------------------

    def tap(
        self,
        filters: Iterable[str],
        sequence: int | None = None,
        time: int | None = None,
        credit: int = 1024,
        timeout: float = 10.0,
    ) -> int:
        """Reads along: live, or from a sequence or a time (ms since 1970). Returns the id of the tap."""
        request = pb.Tap(filters=filters, credit=credit)
        if sequence is not None:
            request.sequence = sequence
        elif time is not None:
            request.time = time
        id = self.next_id()
        self.send(Kind.TAP, id, 0, request.SerializeToString())
        self.answer(id, timeout=timeout)
        return id

    def tapped(self, tap: int, timeout: float = 10.0) -> list[Tapped] | Gap:
        """The next of a tap: messages, each of which used one credit, or a gap."""
        batch = self.take(lambda m: m.kind in (Kind.TAPPED, Kind.GAP) and m.id == tap, timeout)
        if batch.kind == Kind.GAP:
            gap = read(pb.Gap, batch.frames[0])
            return Gap(gap.first, gap.last, gap.reason)
        envelopes = split(batch.frames[1])
        if len(batch.frames[0]) != 8 * len(envelopes) or len(envelopes) != batch.count:
            raise ProtocolError(
                f"{batch.count} tapped, {len(envelopes)} envelopes, a table of {len(batch.frames[0])} bytes"
            )
        sequences = struct.unpack(f">{len(envelopes)}Q", batch.frames[0])
        return [Tapped(sequence, read(pb.Envelope, e), e) for sequence, e in zip(sequences, envelopes)]

    # -- calls ------------------------------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        request: bytes | Encodable,
        response: Decodable[_M],
        timeout: float = 10.0,
        metadata: MetadataLike = None,
    ) -> _M:
        """Unary call of "package.Service/Method". `response` is the class of the answer. Raises CallError."""
        call = self.begin_call(method, [request], int(timeout * 1000), metadata)
        # The hub's own deadline comes first; a little more time, so that its DEADLINE_EXCEEDED is what is seen.
        for answer in self.responses(call, timeout + 2):
            return response.FromString(answer)
        raise CallError(Code.INTERNAL, f"{method} ended without a response")

    def begin_call(
        self,
        method: str,
        requests: Iterable[bytes | Encodable] = (),
        timeout_ms: int = 0,
        metadata: MetadataLike = None,
        last: bool = True,
    ) -> Call:
        """Begins a call with these requests, and no more unless `last` is false. Does not wait; see `responses`."""
        head = pb.CallHead(method=method, timeout_ms=timeout_ms, metadata=entries(metadata))
        call = Call(self.next_id(), method, pairs(head.metadata), timeout_ms)
        self._send_messages(Kind.CALL, call, [head.SerializeToString()], requests, HALF_CLOSE if last else 0)
        return call

    def send_request(self, call: Call, *requests: bytes | Encodable, last: bool = False) -> None:
        """Further requests of a call, or the end of them. Waits for room."""
        self._send_messages(Kind.MESSAGE, call, [], requests, HALF_CLOSE if last else 0)

    def responses(self, call: Call, timeout: float = 10.0) -> Iterator[bytes]:
        """The responses of a call, encoded, one after another, until it has ended. Raises CallError if it failed."""
        while True:
            kinds = (Kind.HEADERS, Kind.MESSAGE, Kind.REPLY, Kind.STATUS)
            try:
                answer = self.answer(call.id, kinds, timeout)
            except Refused as refusal:
                raise CallError(refusal.code, refusal.message, (), refusal.reason, refusal.name) from None
            if answer.kind == Kind.HEADERS:
                call.initial = pairs(read(pb.CallStart, answer.frames[0]).metadata)
            yield from self._read(call, answer)
            if answer.kind == Kind.REPLY:
                tail = read(pb.CallTail, answer.frames[0])
                call.trailing = pairs(tail.metadata)
                if tail.initial:
                    call.initial = pairs(tail.initial)
                if tail.code != 0:
                    raise CallError(tail.code, tail.message, call.trailing)
                return

    def cancel(self, call: Call) -> None:
        self.send(Kind.CANCEL, call.id, 0)

    def serve(self, service: str, exclusive: bool = False, withdraw: bool = False, timeout: float = 10.0) -> None:
        """Offers a service, or takes the offer back."""
        id = self.next_id()
        serve = pb.Serve(service=service, exclusive=exclusive, withdraw=withdraw)
        self.send(Kind.SERVE, id, 0, serve.SerializeToString())
        self.answer(id, timeout=timeout)

    def next_call(self, timeout: float = 10.0) -> Call:
        """The next call to a service this peer serves; read `requests`, then answer with `respond` and `reply`."""
        incoming = self.take(lambda m: m.kind == Kind.CALL, timeout)
        head = read(pb.CallHead, incoming.frames[0])
        call = Call(incoming.id, head.method, pairs(head.metadata), head.timeout_ms)
        call.waiting = list(self._read(call, incoming))
        return call

    def requests(self, call: Call, timeout: float = 10.0) -> Iterator[bytes]:
        """The requests of a call that is served here, encoded, until the caller's last. Raises CallError if it was
        cancelled."""
        while True:
            yield from call.waiting
            call.waiting = []
            if call.half_closed:
                return
            incoming = self.take(lambda m: m.id == call.id and m.kind in (Kind.MESSAGE, Kind.CANCEL), timeout)
            if incoming.kind == Kind.CANCEL:
                raise CallError(Code.CANCELLED, "the caller no longer waits")
            call.waiting = list(self._read(call, incoming))

    def respond(self, call: Call, *responses: bytes | Encodable, metadata: MetadataLike = None) -> None:
        """Responses of a call that is served here; the first time with the initial metadata. Waits for room."""
        if metadata is not None:
            start = pb.CallStart(metadata=entries(metadata)).SerializeToString()
            self._send_messages(Kind.HEADERS, call, [start], responses)
        else:
            self._send_messages(Kind.MESSAGE, call, [], responses)

    def reply(
        self,
        call: Call,
        response: bytes | Encodable | None = None,
        code: int = 0,
        text: str = "",
        metadata: MetadataLike = None,
    ) -> None:
        """Ends a call that is served here."""
        tail = pb.CallTail(code=code, message=text, metadata=entries(metadata))
        self._send_messages(Kind.REPLY, call, [tail.SerializeToString()], [] if response is None else [response])

    def _send_messages(
        self, kind: Kind, call: Call, body: list[bytes], messages: Iterable[bytes | Encodable], flags: int = 0
    ) -> None:
        encoded = [encode(m) for m in messages]
        while encoded and call.window <= 0:
            ends = (Kind.WINDOW, Kind.CANCEL, Kind.STATUS, Kind.REPLY)
            more = self.take(lambda m: m.id == call.id and m.kind in ends, 10.0)
            if more.kind != Kind.WINDOW:
                # For whoever reads the call.
                self.inbox.appendleft(more)
                raise CallError(Code.CANCELLED, "the call is over")
            call.window += more.count
        self.send(kind, call.id, len(encoded), *body, *call.frame(encoded), flags=flags)

    def _read(self, call: Call, incoming: Message) -> Iterator[bytes]:
        """The messages of a frame of a call; what was read may be sent again."""
        messages = call.messages(incoming)
        yield from messages
        if messages and incoming.kind != Kind.REPLY and not call.half_closed:
            more = call.consumed(len(incoming.frames[-1]) + FRAME_OVERHEAD)
            if more:
                self.send(Kind.WINDOW, call.id, more)
