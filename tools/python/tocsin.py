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
SERVE, CALL, REPLY, CANCEL, MESSAGE, HEADERS, WINDOW = 64, 65, 66, 67, 68, 69, 70
HALF_CLOSE = 1  # flag of CALL and MESSAGE
WINDOW_BYTES, FRAME_OVERHEAD = 256 << 10, 128  # of each direction of a call
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


def header(kind, id=0, count=0, magic=b"TCSN", version=1, flags=0):
    return HEADER.pack(magic, version, kind, flags, id, count, 0, 0)


def entries(metadata):
    """Metadata for the wire, from a dict or from pairs. Values are str, or bytes where the key ends with "-bin"."""
    items = metadata.items() if isinstance(metadata, dict) else metadata or ()
    return [message("MetadataEntry")(key=k, value=v if isinstance(v, bytes) else v.encode("ascii")) for k, v in items]


def pairs(metadata):
    """Metadata from the wire, as a list of pairs: a key may occur several times."""
    return [(m.key, m.value if m.key.endswith("-bin") else m.value.decode("ascii", "replace")) for m in metadata]


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


Message = collections.namedtuple("Message", "kind id flags count reason frames")
Delivery = collections.namedtuple("Delivery", "sequence token attempt envelope bytes")
Tapped = collections.namedtuple("Tapped", "sequence envelope bytes")
Gap = collections.namedtuple("Gap", "first last reason")


class Call:
    """A call that was made or is served here. `initial` and `trailing` are the response's metadata, as pairs."""

    def __init__(self, id, method, metadata, timeout_ms):
        self.id, self.method, self.metadata, self.timeout_ms = id, method, metadata, timeout_ms
        self.initial, self.trailing = [], []
        self.waiting, self.half_closed = [], False
        self.window, self.used = WINDOW_BYTES, 0


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

    def send(self, kind, id, count, *body, flags=0):
        self.send_raw([header(kind, id, count, flags=flags), *body])

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
            magic, version, kind, flags, id, count, reason, _ = HEADER.unpack(frames[0])
            if magic != b"TCSN" or version != 1:
                raise ValueError(f"the hub sent a header of version {version}, magic {magic!r}")
            if kind == GOODBYE:
                raise Lost("the hub said goodbye")
            if kind != HEARTBEAT or id != 0:
                return Message(kind, id, flags, count, reason, frames[1:])

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
        request = message("Tap")(filters=filters, credit=credit)
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
        call = self.begin_call(method, [request], int(timeout * 1000), metadata)
        # The hub's own deadline comes first; a little more time, so that its DEADLINE_EXCEEDED is what is seen.
        for answer in self.responses(call, timeout + 2):
            return response.FromString(answer)
        raise Refused(0, "call failed", 13, "no response")

    def begin_call(self, method, requests=(), timeout_ms=0, metadata=None, last=True):
        """Begins a call with these requests, and no more unless `last` is false. Does not wait; see `responses`."""
        call = Call(self.next_id(), method, metadata or {}, timeout_ms)
        head = message("CallHead")(method=method, timeout_ms=timeout_ms, metadata=entries(metadata))
        self.send_messages(CALL, call, [head.SerializeToString()], requests, HALF_CLOSE if last else 0)
        return call

    def send_request(self, call, *requests, last=False):
        """Further requests of a call, or the end of them. Waits for room."""
        self.send_messages(MESSAGE, call, [], requests, HALF_CLOSE if last else 0)

    def responses(self, call, timeout=10.0):
        """The responses of a call, encoded, one after another, until it has ended. Raises Refused if it failed."""
        while True:
            answer = self.answer(call.id, (HEADERS, MESSAGE, REPLY, STATUS), timeout)
            if answer.kind == HEADERS:
                call.initial = pairs(message("CallStart").FromString(answer.frames[0]).metadata)
            yield from self.read(call, answer)
            if answer.kind == REPLY:
                tail = message("CallTail").FromString(answer.frames[0])
                call.trailing = pairs(tail.metadata)
                if tail.initial:
                    call.initial = pairs(tail.initial)
                if tail.code != 0:
                    raise Refused(0, "call failed", tail.code, tail.message)
                return

    def cancel(self, call):
        self.send(CANCEL, call.id, 0)

    def serve(self, service, exclusive=False, withdraw=False, timeout=10.0):
        """Offers a service, or takes the offer back."""
        id = self.next_id()
        serve = message("Serve")(service=service, exclusive=exclusive, withdraw=withdraw)
        self.send(SERVE, id, 0, serve.SerializeToString())
        self.answer(id, timeout=timeout)

    def next_call(self, timeout=10.0):
        """The next call to a service this client serves; read `requests`, then answer with `respond` and `reply`."""
        incoming = self.take(lambda m: m.kind == CALL, timeout)
        head = message("CallHead").FromString(incoming.frames[0])
        call = Call(incoming.id, head.method, pairs(head.metadata), head.timeout_ms)
        call.waiting = list(self.read(call, incoming))
        return call

    def requests(self, call, timeout=10.0):
        """The requests of a call that is served here, encoded, until the caller's last. Raises Refused if it was cancelled."""
        while True:
            yield from call.waiting
            call.waiting = []
            if call.half_closed:
                return
            incoming = self.take(lambda m: m.id == call.id and m.kind in (MESSAGE, CANCEL), timeout)
            if incoming.kind == CANCEL:
                raise Refused(0, "CANCELLED", 1, "the caller no longer waits")
            call.waiting = list(self.read(call, incoming))

    def respond(self, call, *responses, metadata=None):
        """Responses of a call that is served here; the first time with the initial metadata. Waits for room."""
        if metadata is not None:
            self.send_messages(HEADERS, call, [message("CallStart")(metadata=entries(metadata)).SerializeToString()], responses)
        else:
            self.send_messages(MESSAGE, call, [], responses)

    def reply(self, call, response=None, code=0, text="", metadata=None):
        """Ends a call that is served here."""
        tail = message("CallTail")(code=code, message=text, metadata=entries(metadata))
        self.send_messages(REPLY, call, [tail.SerializeToString()], [] if response is None else [response])

    def send_messages(self, kind, call, body, messages, flags=0):
        encoded = [m if isinstance(m, bytes) else m.SerializeToString() for m in messages]
        if encoded:
            while call.window <= 0:
                more = self.take(lambda m: m.id == call.id and m.kind in (WINDOW, CANCEL, STATUS, REPLY), 10.0)
                if more.kind != WINDOW:
                    # For whoever reads the call.
                    self.inbox.appendleft(more)
                    raise Refused(0, "CANCELLED", 1, "the call is over")
                call.window += more.count
            body = body + [length_prefixed(encoded)]
            call.window -= len(body[-1]) + FRAME_OVERHEAD
        self.send(kind, call.id, len(encoded), *body, flags=flags)

    def read(self, call, incoming):
        """The messages of a frame of a call; what was read may be sent again."""
        if incoming.kind in (CALL, MESSAGE) and incoming.flags & HALF_CLOSE:
            call.half_closed = True
        frames = incoming.frames if incoming.kind == MESSAGE else incoming.frames[1:]
        if incoming.kind == STATUS or not frames:
            return
        yield from split(frames[0])
        call.used += len(frames[0]) + FRAME_OVERHEAD
        if call.used >= WINDOW_BYTES // 4 and incoming.kind != REPLY and not call.half_closed:
            self.send(WINDOW, call.id, call.used)
            call.used = 0
