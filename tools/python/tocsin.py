"""A second implementation of the Tocsin protocol, for scripts and for tests of interoperability.

Written from proto/PROTOCOL.md and proto/tocsin/v1/*.proto alone, on pyzmq and protobuf (Debian: python3-zmq,
python3-protobuf, protobuf-compiler). One thread, one connection; every wait has a deadline:

    hub = tocsin.Client("tcp://127.0.0.1:7117", name="my-script")
    hub.publish([tocsin.envelope("event.script.backup", payload=b"...")])
    hub.declare("mine", ["event.>"])
    mine = hub.subscribe("mine", credit=10)
    for delivery in hub.deliveries(mine, timeout=5):
        hub.settle(mine, [(delivery, tocsin.ACK)])
"""

import collections
import os
import struct
import subprocess
import time

import zmq
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PROTO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto")

# Kinds of messages and outcomes of a settlement (PROTOCOL.md, "Kinds" and "Semantics").
HELLO, WELCOME, HEARTBEAT, GOODBYE, STATUS = 1, 2, 3, 4, 5
PUBLISH, ACCEPTED = 16, 17
DECLARE, SUBSCRIBE, CREDIT, DELIVER, SETTLE, UNSUBSCRIBE = 32, 33, 34, 35, 36, 37
TAP, TAPPED, GAP = 48, 49, 50
SERVE, CALL, REPLY, CANCEL = 64, 65, 66, 67
ACK, RETRY, REJECT = 1, 2, 3

HEADER = struct.Struct(">4sBBHQIHH")  # magic, version, kind, flags, id, count, reason, reserved
DELIVERY_ROW = struct.Struct(">QQH6x")  # sequence, token, attempt
SETTLE_ROW = struct.Struct(">QQB3xI")  # sequence, token, outcome, delay
PREFIX = struct.Struct(">BI")  # flags, length


class Refused(Exception):
    """The hub answered `status`, or a call ended with a code that is not 0."""

    def __init__(self, reason, name, code, message, index=0):
        super().__init__(f"{name}: {message}")
        self.reason, self.name, self.code, self.message, self.index = reason, name, code, message, index


class TimedOut(Exception):
    """No answer in time; whether the request had an effect is not known."""


class Lost(Exception):
    """No word from the hub for three heartbeats, or its goodbye: the session is over."""


def _compile(files):
    """Message classes by full name. The descriptors come from protoc at run time, so nothing generated is kept."""
    compiled = subprocess.run(
        ["protoc", "-I", PROTO, "--include_imports", "--descriptor_set_out=/dev/stdout", *files],
        stdout=subprocess.PIPE, check=True)
    pool, classes = descriptor_pool.DescriptorPool(), {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(compiled.stdout).file:
        pool.Add(file)
        for message in file.message_type:
            name = f"{file.package}.{message.name}"
            descriptor = pool.FindMessageTypeByName(name)
            # The way to get a class was renamed in protobuf 4.22.
            if hasattr(message_factory, "GetMessageClass"):
                classes[name] = message_factory.GetMessageClass(descriptor)
            else:
                classes[name] = message_factory.MessageFactory(pool).GetPrototype(descriptor)
    return classes


_classes = _compile(["tocsin/v1/broker.proto", "tocsin/v1/incident.proto"])


def message(name):
    """The class of a message of package tocsin.v1: `message("Event")`."""
    return _classes["tocsin.v1." + name]


Envelope = message("Envelope")


def envelope(subject, payload=b"", id=None, severity=0, key="", not_before=0, type="", headers=None):
    """One message to publish; `id` is 16 random bytes unless given."""
    return Envelope(
        id=os.urandom(16) if id is None else id, subject=subject, severity=severity, key=key, not_before=not_before,
        type=type, published_at=int(time.time() * 1000), headers=headers or {}, payload=payload)


def header(kind, id=0, count=0, magic=b"TCSN", version=1):
    return HEADER.pack(magic, version, kind, 0, id, count, 0, 0)


def length_prefixed(messages):
    """gRPC's framing: flags, length, bytes, one after another."""
    return b"".join(PREFIX.pack(0, len(m)) + m for m in messages)


def split(frame):
    """The messages of a length-prefixed frame."""
    messages, at = [], 0
    while at < len(frame):
        flags, length = PREFIX.unpack_from(frame, at)
        at += PREFIX.size
        if flags != 0 or at + length > len(frame):
            raise ValueError("a length prefix does not fit its frame")
        messages.append(frame[at:at + length])
        at += length
    return messages


Message = collections.namedtuple("Message", "kind id count reason frames")
Delivery = collections.namedtuple("Delivery", "sequence token attempt envelope bytes")
Tapped = collections.namedtuple("Tapped", "sequence envelope bytes")
Gap = collections.namedtuple("Gap", "first last reason")
Call = collections.namedtuple("Call", "id method metadata timeout_ms request")


class Client:
    """A session with a hub. Not thread-safe. Call something at least every two seconds, or be taken for lost."""

    def __init__(self, endpoint, name, role="client", timeout=10.0, heartbeat_ms=0):
        self.context = zmq.Context.instance()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(endpoint)
        # One counter for requests, subscriptions, taps and calls: a status does not say which of them its id is of.
        self.last_id = 0
        # Received and not yet asked for. Bounded by what was asked: credit, and requests without an answer.
        self.inbox = collections.deque()
        self.said = self.heard = time.monotonic()
        self.heartbeat = 2.0
        self.welcome = None
        hello = message("Hello")(name=name, role=role, software="tocsin.py 1", heartbeat_ms=heartbeat_ms)
        deadline = time.monotonic() + timeout
        while self.welcome is None:
            self.send(HELLO, 0, 0, hello.SerializeToString())
            try:
                answer = self.take(lambda m: m.kind in (WELCOME, STATUS) and m.id == 0, min(1.0, timeout))
            except TimedOut:
                if time.monotonic() > deadline:
                    raise TimedOut(f"no welcome from {endpoint} in {timeout} s") from None
                continue
            self.raise_if_status(answer)
            self.welcome = message("Welcome").FromString(answer.frames[0])
            self.heartbeat = self.welcome.heartbeat_ms / 1000

    # -- messages ---------------------------------------------------------------------------------------------------

    def next_id(self):
        self.last_id += 1
        return self.last_id

    def send_raw(self, frames):
        self.socket.send_multipart(frames)
        self.said = time.monotonic()

    def send(self, kind, id, count, *body):
        self.send_raw([header(kind, id, count), *body])

    def receive(self, timeout):
        """The next message from the hub that is not a heartbeat, or None. Keeps the session alive meanwhile."""
        deadline = time.monotonic() + timeout
        while True:
            now = time.monotonic()
            if self.welcome is not None and now - self.said > self.heartbeat / 2:
                self.send(HEARTBEAT, 0, 0)
            wait = max(0.0, min(deadline - now, self.heartbeat / 4))
            if not self.socket.poll(wait * 1000):
                if self.welcome is not None and time.monotonic() - self.heard > 3 * self.heartbeat:
                    raise Lost(f"no word from the hub for {3 * self.heartbeat} s")
                if time.monotonic() >= deadline:
                    return None
                continue
            frames = self.socket.recv_multipart()
            self.heard = time.monotonic()
            magic, version, kind, _, id, count, reason, _ = HEADER.unpack(frames[0])
            if magic != b"TCSN" or version != 1:
                raise ValueError(f"the hub sent a header of version {version}, magic {magic!r}")
            if kind == GOODBYE:
                raise Lost("the hub said goodbye")
            if kind != HEARTBEAT or id != 0:
                return Message(kind, id, count, reason, frames[1:])

    def take(self, match, timeout):
        """The first message that matches; others wait in the inbox."""
        for waiting in self.inbox:
            if match(waiting):
                self.inbox.remove(waiting)
                return waiting
        deadline = time.monotonic() + timeout
        while True:
            received = self.receive(max(0.0, deadline - time.monotonic()))
            if received is None:
                raise TimedOut(f"no answer in {timeout} s")
            if match(received):
                return received
            self.inbox.append(received)

    @staticmethod
    def raise_if_status(answer):
        if answer.kind == STATUS and answer.reason != 0:
            status = message("Status").FromString(answer.frames[0])
            raise Refused(answer.reason, status.reason, status.code, status.message, status.index)

    def answer(self, id, kinds=(STATUS,), timeout=10.0):
        answer = self.take(lambda m: m.id == id and m.kind in kinds, timeout)
        self.raise_if_status(answer)
        return answer

    def close(self):
        self.send(GOODBYE, 0, 0)
        self.socket.close(linger=200)

    # -- publishing -------------------------------------------------------------------------------------------------

    def begin_publish(self, envelopes):
        """Sends a batch and returns its id for `end_publish`; several may be on their way at once."""
        id = self.next_id()
        self.send(PUBLISH, id, len(envelopes), length_prefixed([e.SerializeToString() for e in envelopes]))
        return id

    def end_publish(self, id, timeout=10.0):
        return message("Accepted").FromString(self.answer(id, (ACCEPTED, STATUS), timeout).frames[0])

    def publish(self, envelopes, timeout=10.0):
        """Returns Accepted when the whole batch is on the hub's disk. Raises Refused: none of it was stored."""
        return self.end_publish(self.begin_publish(envelopes), timeout)

    # -- pools ------------------------------------------------------------------------------------------------------

    def declare(self, name, filters, visibility_ms=0, max_attempts=0, from_start=False, timeout=10.0):
        spec = message("PoolSpec")(
            name=name, filters=filters, visibility_ms=visibility_ms, max_attempts=max_attempts, from_start=from_start)
        id = self.next_id()
        self.send(DECLARE, id, 0, spec.SerializeToString())
        self.answer(id, timeout=timeout)

    def subscribe(self, pool, credit, timeout=10.0):
        """Joins a pool; returns the id of the subscription."""
        id = self.next_id()
        self.send(SUBSCRIBE, id, 0, message("Subscribe")(pool=pool, credit=credit).SerializeToString())
        self.answer(id, timeout=timeout)
        return id

    def add_credit(self, id, more):
        self.send(CREDIT, id, more)

    def unsubscribe(self, id):
        """Ends a subscription or a tap."""
        self.send(UNSUBSCRIBE, id, 0)

    def deliveries(self, subscription, timeout=10.0):
        """The next batch of a subscription."""
        batch = self.take(lambda m: m.kind == DELIVER and m.id == subscription, timeout)
        envelopes = split(batch.frames[1])
        rows = list(DELIVERY_ROW.iter_unpack(batch.frames[0]))
        if not len(rows) == len(envelopes) == batch.count:
            raise ValueError(f"{batch.count} deliveries, {len(rows)} rows, {len(envelopes)} envelopes")
        return [Delivery(*row, Envelope.FromString(e), e) for row, e in zip(rows, envelopes)]

    def settle(self, subscription, settlements):
        """Each settlement: (delivery, ACK), (delivery, RETRY, delay in ms, reason) or (delivery, REJECT, 0, reason)."""
        rows, reasons = [], []
        for delivery, outcome, *more in settlements:
            delay = more[0] if more else 0
            rows.append(SETTLE_ROW.pack(delivery.sequence, delivery.token, outcome, delay))
            if outcome != ACK:
                reasons.append((more[1] if len(more) > 1 else "").encode())
        body = [b"".join(rows)] + ([length_prefixed(reasons)] if reasons else [])
        self.send(SETTLE, subscription, len(rows), *body)

    # -- taps -------------------------------------------------------------------------------------------------------

    def tap(self, filters, sequence=None, time=None, credit=1024, timeout=10.0):
        """Reads along: live, or from a sequence or a time (ms). Returns the id of the tap."""
        request = message("TapRequest")(filters=filters, credit=credit)
        if sequence is not None:
            request.sequence = sequence
        elif time is not None:
            request.time = time
        id = self.next_id()
        self.send(TAP, id, 0, request.SerializeToString())
        self.answer(id, timeout=timeout)
        return id

    def tapped(self, tap, timeout=10.0):
        """The next of a tap: a list of Tapped, or a Gap."""
        batch = self.take(lambda m: m.kind in (TAPPED, GAP) and m.id == tap, timeout)
        if batch.kind == GAP:
            gap = message("Gap").FromString(batch.frames[0])
            return Gap(gap.first, gap.last, gap.reason)
        envelopes = split(batch.frames[1])
        sequences = struct.unpack(f">{len(envelopes)}Q", batch.frames[0])
        return [Tapped(sequence, Envelope.FromString(e), e) for sequence, e in zip(sequences, envelopes)]

    # -- calls ------------------------------------------------------------------------------------------------------

    def call(self, method, request, response, timeout=10.0, metadata=None):
        """Unary call of "package.Service/Method". `response` is the class of the answer. Raises Refused."""
        id = self.next_id()
        head = message("CallHead")(method=method, timeout_ms=int(timeout * 1000), metadata=metadata or {})
        self.send(CALL, id, 0, head.SerializeToString(), length_prefixed([request.SerializeToString()]))
        # The hub's own deadline comes first; a little more time, so that its DEADLINE_EXCEEDED is what is seen.
        answer = self.answer(id, (REPLY, STATUS), timeout + 2)
        tail = message("CallTail").FromString(answer.frames[0])
        if tail.code != 0:
            raise Refused(0, "call failed", tail.code, tail.message)
        return response.FromString(split(answer.frames[1])[0])

    def begin_call(self, method, request, timeout_ms):
        """Sends a call without waiting; returns its id for `cancel` or `answer`."""
        id = self.next_id()
        head = message("CallHead")(method=method, timeout_ms=timeout_ms)
        self.send(CALL, id, 0, head.SerializeToString(), length_prefixed([request.SerializeToString()]))
        return id

    def cancel(self, id):
        self.send(CANCEL, id, 0)

    def serve(self, service, exclusive=False, timeout=10.0):
        id = self.next_id()
        self.send(SERVE, id, 0, message("Serve")(service=service, exclusive=exclusive).SerializeToString())
        self.answer(id, timeout=timeout)

    def next_call(self, timeout=10.0):
        """The next call to a service this client serves; answer with `reply`."""
        incoming = self.take(lambda m: m.kind == CALL, timeout)
        head = message("CallHead").FromString(incoming.frames[0])
        return Call(incoming.id, head.method, dict(head.metadata), head.timeout_ms, split(incoming.frames[1])[0])

    def reply(self, call, response=None, code=0, text="", metadata=None):
        tail = message("CallTail")(code=code, message=text, metadata=metadata or {})
        body = [tail.SerializeToString()] + ([length_prefixed([response.SerializeToString()])] if code == 0 else [])
        self.send(REPLY, call.id, 0, *body)
