"""A hub for tools/conform: says what its script says, and looks at every byte that a worker sends.

It is no broker: nothing is stored, routed or timed. It answers what a worker cannot do without (welcome, heartbeat, OK,
accepted), keeps in mind what the worker may do now (what it holds, which calls are open, how much of each window is
left), and raises `Wrong` where the worker breaks proto/PROTOCOL.md or the contract of tools/conform.
"""

import itertools
import re
import time
import warnings

import zmq

from tocsin.v1 import broker_pb2 as pb
from tocsin.wire import (
    ACK,
    BODY_FRAMES,
    DELIVERY_ROW,
    FRAME_OVERHEAD,
    HALF_CLOSE,
    HEADER,
    MAGIC,
    PREFIX,
    REJECT,
    RETRY,
    SERVED,
    SETTLE_ROW,
    VERSION,
    WINDOW_BYTES,
    Kind,
    Message,
    header,
    length_prefixed,
)

POOL, FILTER, SERVICE = "conform", "conform.>", "conform.v1.Conformance"
CREDIT = 4
FROM_PEERS = set(Kind) - {Kind.WELCOME, Kind.STATUS, Kind.ACCEPTED, Kind.DELIVER, Kind.TAPPED, Kind.GAP}
BODIES = {
    Kind.HELLO: pb.Hello,
    Kind.DECLARE: pb.PoolSpec,
    Kind.SUBSCRIBE: pb.Subscribe,
    Kind.TAP: pb.Tap,
    Kind.SERVE: pb.Serve,
    Kind.CALL: pb.CallHead,
    Kind.REPLY: pb.CallTail,
    Kind.HEADERS: pb.CallStart,
}
OF_CALLS = {Kind.REPLY, Kind.HEADERS, Kind.MESSAGE, Kind.CANCEL, Kind.WINDOW}
SUBJECT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,15}\Z")


# Bytes after a message are an error like any other.
warnings.filterwarnings("error", "Unexpected end-group tag")


class Wrong(Exception):
    """What the worker did wrong, in one sentence."""


def demand(condition, sentence):
    if not condition:
        raise Wrong(sentence)


# -- reading, strictly -------------------------------------------------------------------------------------------------


def read(type, data, what):
    try:
        message = type.FromString(data)
    except Exception as problem:  # DecodeError, or text that is not UTF-8.
        raise Wrong(f"{what}: no {type.__name__}: {problem}") from None
    known = type.FromString(data)
    known.DiscardUnknownFields()
    demand(known.ByteSize() == len(data), f"{what}: a {type.__name__} with fields that it has not, or twice")
    return message


def split(frame, what):
    messages, at = [], 0
    while at < len(frame):
        demand(at + PREFIX.size <= len(frame), f"{what}: half a length prefix")
        flags, length = PREFIX.unpack_from(frame, at)
        at += PREFIX.size
        demand(flags == 0, f"{what}: length prefix with flags {flags}")
        demand(at + length <= len(frame), f"{what}: a length of {length} goes past the frame")
        messages.append(frame[at : at + length])
        at += length
    return messages


def parse(frames):
    """A message that a peer sent, its first body frame read, and the messages of its length-prefixed one.

    Raises Wrong.
    """
    demand(len(frames[0]) == HEADER.size, f"a header of {len(frames[0])} bytes")
    magic, version, kind, flags, id, count, reason, reserved = HEADER.unpack(frames[0])
    demand(magic == MAGIC and version == VERSION, f"a header with magic {magic!r}, version {version}")
    demand(kind in FROM_PEERS, f"kind {kind} is none that a peer sends")
    kind = Kind(kind)
    demand(reserved == 0 and reason == 0, f"{kind.name} with reason {reason}, reserved {reserved}")
    demand(flags in ((0, HALF_CLOSE) if kind in (Kind.CALL, Kind.MESSAGE) else (0,)), f"{kind.name} with flags {flags}")
    demand(len(frames) - 1 in BODY_FRAMES[kind], f"{kind.name} with {len(frames) - 1} body frames")
    message = Message(kind, id, flags, count, reason, frames[1:])
    if kind in (Kind.HELLO, Kind.GOODBYE):
        demand(id == 0, f"{kind.name} with id {id}")
    elif kind != Kind.HEARTBEAT:
        demand(id != 0, f"{kind.name} with id 0")
    if kind in (Kind.PUBLISH, Kind.DECLARE, Kind.SUBSCRIBE, Kind.TAP, Kind.SERVE, Kind.CALL):
        demand(id < SERVED, f"{kind.name} with id {id}, which is one of the hub's")
    body = read(BODIES[kind], frames[1], kind.name) if kind in BODIES else None
    if kind in (Kind.PUBLISH, Kind.MESSAGE):
        prefixed = frames[1:]
    elif kind in (Kind.CALL, Kind.REPLY, Kind.HEADERS):
        prefixed = frames[2:]
    else:
        prefixed = []
    messages = split(prefixed[0], kind.name) if prefixed else []
    if kind in (Kind.CREDIT, Kind.WINDOW):
        demand(count > 0, f"{kind.name} of 0")
    elif kind != Kind.SETTLE:
        demand(count == len(messages), f"{kind.name} with count {count} and {len(messages)} messages")
    demand(messages or not prefixed, f"{kind.name} with an empty frame of messages")
    if kind == Kind.MESSAGE:
        demand(messages or flags & HALF_CLOSE, "a MESSAGE of nothing")
    if kind == Kind.PUBLISH:
        demand(messages, "PUBLISH without a message")
        for encoded in messages:
            check_envelope(encoded)
    if kind == Kind.SETTLE:
        body = settlements(message)
    return message, body, messages


def check_envelope(encoded):
    envelope = read(pb.Envelope, encoded, "PUBLISH")
    # Google's serialiser writes fields in ascending order, each once; map entries have no order.
    if len(envelope.headers) < 2:
        demand(
            envelope.SerializeToString() == encoded, "an envelope whose fields are not in ascending order, each once"
        )
    demand(1 <= len(envelope.id) <= 64, f"an envelope with an id of {len(envelope.id)} bytes")
    demand(
        SUBJECT.match(envelope.subject) and len(envelope.subject) <= 255,
        f"an envelope with subject {envelope.subject!r}",
    )


def settlements(message):
    """Rows (sequence, token, outcome, delay, reason) of a settle."""
    table = message.frames[0]
    demand(
        table and len(table) == SETTLE_ROW.size * message.count,
        f"SETTLE with count {message.count}, {len(table)} bytes",
    )
    rows = list(SETTLE_ROW.iter_unpack(table))
    for index, (_, _, outcome, delay) in enumerate(rows):
        row = table[index * SETTLE_ROW.size :][: SETTLE_ROW.size]
        demand(row[17:20] == bytes(3), "SETTLE with reserved bytes that are not 0")
        demand(outcome in (ACK, RETRY, REJECT), f"SETTLE with outcome {outcome}")
        demand(delay == 0 or outcome == RETRY, f"SETTLE with a delay for outcome {outcome}")
    wanted = sum(outcome != ACK for _, _, outcome, _ in rows)
    reasons = split(message.frames[1], "SETTLE") if len(message.frames) == 2 else []
    demand(len(reasons) in (0, wanted), f"SETTLE with {len(reasons)} reasons for {wanted} retries and rejects")
    demand(len(message.frames) == 1 or reasons, "SETTLE with an empty frame of reasons")
    texts = iter(reasons)
    return [(*row, next(texts, b"").decode("utf-8", "strict") if row[2] != ACK else "") for row in rows]


# -- the hub -----------------------------------------------------------------------------------------------------------


class Call:
    """A call that the worker serves: what it has answered, and what it may still send."""

    def __init__(self, id):
        self.id = id
        self.window, self.room = WINDOW_BYTES, WINDOW_BYTES  # for what it answers, and for what it is asked
        self.begun = self.cancelled = False
        self.late = 0  # messages after it was cancelled
        self.responses, self.initial, self.tail = [], [], None

    @property
    def trailing(self):
        return [(entry.key, entry.value) for entry in self.tail.metadata]


class Session:
    """What the hub knows of one worker since its hello."""

    def __init__(self, identity, hello):
        self.identity, self.hello, self.is_over = identity, hello, False
        self.subscription, self.services, self.ids = None, set(), set()
        self.held, self.stale, self.settled = {}, set(), {}  # by token
        self.calls = {}
        self.heard = time.monotonic()


class ScriptedHub:
    """One ROUTER on a free port of this machine. Not thread-safe."""

    def __init__(self, heartbeat_ms, patience):
        """`patience`: seconds that the worker has for what it must do."""
        self.patience = patience
        self.heartbeat_ms, self.epoch, self.port = heartbeat_ms, 0, 0
        self.socket, self.session, self.sessions = None, None, 0
        self.strangers = set()  # peers of before a restart or loss: they must begin again
        self.tokens, self.sequences, self.call_ids = itertools.count(1), itertools.count(1), itertools.count(SERVED + 1)
        # Switched by cases: whether hellos and heartbeats are answered; whether publishes are accepted, refused for now,
        # or (None) not answered.
        self.welcomes = self.answers = self.accepts = True
        self.hellos, self.goodbyes, self.published = 0, 0, []
        self.worker_is_alive = lambda: True
        self.bind()

    @property
    def endpoint(self):
        return f"tcp://127.0.0.1:{self.port}"

    def bind(self):
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.socket.bind(f"tcp://127.0.0.1:{self.port or '*'}")
                break
            except zmq.ZMQError:
                # The port of the socket that was closed is free in a moment.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self.port = int(self.socket.getsockopt(zmq.LAST_ENDPOINT).decode().rpartition(":")[2])
        self.epoch += 1

    def close(self):
        self.socket.close()

    def restart(self):
        """As a hub that died and was started again."""
        self.lose()
        self.close()
        self.bind()

    def lose(self):
        """Forgets the session. What its socket still sends is answered by NOT_WELCOMED."""
        if self.session is not None:
            self.session.is_over = True
            self.strangers.add(self.session.identity)
        self.session = None

    # -- sending ------------------------------------------------------------------------------------------------------

    def send_raw(self, frames, identity=None):
        self.socket.send_multipart([identity or self.session.identity, *frames])

    def send(self, kind, id=0, count=0, *body, flags=0):
        self.send_raw([header(kind, id, count, flags=flags), *body])

    def status(self, id, name="OK", number=0, code=0, identity=None):
        body = pb.Status(code=code, reason=name, message=f"conform says {name}")
        self.send_raw(
            [HEADER.pack(MAGIC, VERSION, Kind.STATUS, 0, id, 0, number, 0), body.SerializeToString()], identity
        )

    def deliver(self, *payloads, attempt=1, sequences=None, garble=None):
        """Delivers messages; returns their tokens. The one at `garble` is an envelope only as far as a hub looks."""
        rows, envelopes, tokens = [], [], []
        for index, payload in enumerate(payloads):
            sequence = sequences[index] if sequences else next(self.sequences)
            token = (self.epoch << 48) + next(self.tokens)
            self.session.held[token] = (sequence, payload)
            tokens.append(token)
            rows.append(DELIVERY_ROW.pack(sequence, token, attempt))
            envelopes.append(
                pb.Envelope(
                    id=b"conform-%d" % sequence,
                    subject="conform.message",
                    severity=pb.SEVERITY_MAJOR,
                    key=f"key-{sequence}",
                    published_at=1_700_000_000_000,
                    headers={"a": "b"},
                    payload=payload.encode(),
                ).SerializeToString()
            )
            if index == garble:
                envelopes[-1] = envelopes[-1][:-1]
        demand(
            len(self.session.held) - len(self.session.stale) <= CREDIT,
            "the script itself delivers more than the credit",
        )
        self.send(Kind.DELIVER, self.session.subscription, len(tokens), b"".join(rows), length_prefixed(envelopes))
        return tokens

    def call(self, method, *requests, last=True, timeout_ms=0, metadata=()):
        call = Call(next(self.call_ids))
        self.session.calls[call.id] = call
        head = pb.CallHead(
            method=f"{SERVICE}/{method}",
            timeout_ms=timeout_ms,
            metadata=[pb.MetadataEntry(key=key, value=value) for key, value in metadata],
        )
        body = [length_prefixed(requests)] if requests else []
        self.send(Kind.CALL, call.id, len(requests), head.SerializeToString(), *body, flags=HALF_CLOSE if last else 0)
        return call

    def ask(self, call, *requests, last=False):
        """Further requests, within the window that the worker gives."""
        body = [length_prefixed(requests)] if requests else []
        if body:
            self.until(lambda: call.room > 0, "window for more requests")
            call.room -= len(body[0]) + FRAME_OVERHEAD
        self.send(Kind.MESSAGE, call.id, len(requests), *body, flags=HALF_CLOSE if last else 0)

    def cancel(self, call):
        call.cancelled = True
        self.send(Kind.CANCEL, call.id)

    # -- receiving ----------------------------------------------------------------------------------------------------

    def until(self, condition, what):
        """Takes what comes until the condition holds. Raises Wrong, also when the worker is silent too long or ends."""
        deadline = time.monotonic() + self.patience
        while not condition():
            alive = self.worker_is_alive()
            if not self.take(0.02):
                demand(alive or condition(), f"the program ended while waiting for {what}")
            demand(time.monotonic() < deadline, f"waited {self.patience} s for {what}")

    def pause(self, seconds):
        """Takes what comes for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.take(0.02)

    def joined(self):
        """Waits until a worker has a session, has joined the pool and offers the service."""
        self.until(
            lambda: self.session and self.session.subscription and SERVICE in self.session.services,
            f"hello, a subscription to pool {POOL} and an offer of {SERVICE}",
        )

    def settled(self, *tokens):
        """Waits for settlements; returns them: outcome, delay, reason."""
        session = self.session
        self.until(lambda: all(token in session.settled for token in tokens), "the settlement of what was delivered")
        return [session.settled[token] for token in tokens]

    def ended(self, call):
        """Waits for the end of a call; returns its tail."""
        self.until(lambda: call.tail is not None, "the end of a call")
        return call.tail

    def take(self, timeout):
        """Handles one message; false if none comes in time."""
        if not self.socket.poll(max(1, int(timeout * 1000))):
            session = self.session
            if session is not None and self.answers:
                silence = time.monotonic() - session.heard
                demand(silence < 3 * self.heartbeat_ms / 1000, f"not a word for {silence:.1f} s; a heartbeat was due")
            return False
        identity, *frames = self.socket.recv_multipart()
        self.received(identity, *parse(frames))
        return True

    def received(self, identity, message, body, messages):
        if message.kind == Kind.HELLO:
            return self.hello(identity, body)
        session = self.session
        if session is None or session.identity != identity:
            demand(self.epoch > 1 or identity in self.strangers, f"{message.kind.name} before hello")
            if message.kind != Kind.GOODBYE:
                self.status(message.id, "NOT_WELCOMED", 10, 16, identity)
            return
        session.heard = time.monotonic()
        if message.id >= SERVED:
            return self.called(session, message, body, messages)
        demand(message.kind not in OF_CALLS, f"{message.kind.name} for a call that it made, and it made none")
        {
            Kind.HEARTBEAT: self.heartbeat,
            Kind.GOODBYE: self.goodbye,
            Kind.DECLARE: self.declare,
            Kind.SUBSCRIBE: self.subscribe,
            Kind.SERVE: self.serve,
            Kind.PUBLISH: self.publish,
            Kind.SETTLE: self.settle,
            Kind.UNSUBSCRIBE: self.unsubscribe,
            Kind.CREDIT: self.credit,
        }.get(message.kind, self.unexpected)(session, message, body, messages)

    def unexpected(self, session, message, body, messages):
        raise Wrong(f"{message.kind.name}: the contract has no such thing")

    def hello(self, identity, body):
        self.hellos += 1
        demand(body.name and body.role and body.software, "a hello without name, role or software")
        if not self.welcomes:
            return
        if self.session is not None and self.session.identity != identity:
            self.lose()
        demand(identity not in self.strangers, "a second session on the socket of the first; begin with a new one")
        if self.session is None:
            self.sessions += 1
            self.session = Session(identity, body)
        self.send_raw(self.welcome(), identity)

    def welcome(self):
        return [
            header(Kind.WELCOME),
            pb.Welcome(
                hub="conform",
                hub_id=bytes(range(16)),
                epoch=self.epoch,
                heartbeat_ms=self.heartbeat_ms,
                max_message_bytes=1 << 20,
                max_body_bytes=8 << 20,
                max_batch=4096,
            ).SerializeToString(),
        ]

    def heartbeat(self, session, message, body, messages):
        if self.answers:
            self.send(Kind.HEARTBEAT, message.id)

    def goodbye(self, session, message, body, messages):
        self.goodbyes += 1
        self.lose()

    def new_id(self, session, message):
        demand(message.id not in session.ids, f"{message.kind.name} with id {message.id}, which was used before")
        session.ids.add(message.id)

    def declare(self, session, message, body, messages):
        self.new_id(session, message)
        demand(
            (body.name, list(body.filters)) == (POOL, [FILTER]),
            f"declares {body.name} with filters {list(body.filters)}",
        )
        self.status(message.id)

    def subscribe(self, session, message, body, messages):
        self.new_id(session, message)
        demand((body.pool, body.credit) == (POOL, CREDIT), f"subscribes to {body.pool} with credit {body.credit}")
        demand(session.subscription is None, "subscribes twice")
        session.subscription = message.id
        self.status(message.id)

    def serve(self, session, message, body, messages):
        self.new_id(session, message)
        demand(body.service == SERVICE, f"serves {body.service}")
        (session.services.discard if body.withdraw else session.services.add)(body.service)
        self.status(message.id)

    def publish(self, session, message, body, messages):
        if self.accepts is not True:
            # Refused for now: the id is free again.
            self.published.append([pb.Envelope.FromString(m) for m in messages])
            if self.accepts is False:
                self.status(message.id, "STORAGE_FAILED", 17, 14)
            return
        self.new_id(session, message)
        self.published.append([pb.Envelope.FromString(m) for m in messages])
        accepted = pb.Accepted(first_sequence=next(self.sequences), stored=len(messages))
        self.send(Kind.ACCEPTED, message.id, 0, accepted.SerializeToString())

    def settle(self, session, message, body, messages):
        demand(message.id == session.subscription, f"SETTLE for subscription {message.id}, which is not open")
        for sequence, token, outcome, delay, reason in body:
            demand(token not in session.settled, f"message {sequence} was settled twice")
            demand(
                token in session.held, f"message {sequence} was settled with a token that this session was not given"
            )
            demand(session.held[token][0] == sequence, f"message {sequence} was settled with the token of another")
            del session.held[token]
            session.stale.discard(token)
            session.settled[token] = (outcome, delay, reason)

    def unsubscribe(self, session, message, body, messages):
        demand(message.id == session.subscription, f"UNSUBSCRIBE {message.id}, which is not open")
        session.subscription = None
        session.held.clear()

    def credit(self, session, message, body, messages):
        raise Wrong(
            f"CREDIT of {message.count}: each settlement gives its credit back by itself, the contract has no more"
        )

    def called(self, session, message, body, messages):
        call = session.calls.get(message.id)
        demand(call is not None, f"{message.kind.name} for call {message.id}, which never was")
        demand(call.tail is None, f"{message.kind.name} after the reply of a call")
        if call.cancelled:
            call.late += message.kind == Kind.MESSAGE
            return  # It may have been on its way.
        if message.kind == Kind.WINDOW:
            call.room += message.count
            demand(call.room <= 4 << 20, f"a window of {call.room} bytes")
            return
        if message.kind == Kind.HEADERS:
            demand(not call.begun, "HEADERS twice, or after the first response")
            call.begun, call.initial = True, list(body.metadata)
        else:
            demand(message.kind in (Kind.MESSAGE, Kind.REPLY), f"{message.kind.name} from a server")
            demand(call.begun or message.kind == Kind.REPLY, "a response before HEADERS")
        if message.kind == Kind.MESSAGE:
            demand(not message.flags, "a half-close from a server")
        if messages:
            left = call.window
            for encoded in messages:
                demand(left > 0, "more responses than the window has room for")
                left -= len(encoded) + PREFIX.size
            call.window = left - FRAME_OVERHEAD
            call.responses += messages
        if message.kind == Kind.REPLY:
            call.tail = body
