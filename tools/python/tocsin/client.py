"""A connection that comes back: the session of PROTOCOL.md over any number of connections, on a thread of its own."""

from __future__ import annotations

import collections
import itertools
import logging
import socket
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Callable, Sequence, TypeVar

import zmq

from .channel import Channel
from .connection import SOFTWARE, Connection, read, read_deliveries
from .errors import CallError, Closed, Code, Lost, NotAdmitted, ProtocolError, Refused, TimedOut
from .identity import Identity, default_hub
from .v1 import broker_pb2 as pb
from .wire import SERVED, Delivery, Kind, Message, Outcome, length_prefixed

log = logging.getLogger("tocsin")

_T = TypeVar("_T")

Consumer = Callable[[int, int, list[Delivery]], None]
Settlement = tuple[Delivery, Outcome, int, str]  # milliseconds to wait, reason


class Request:
    """A publish, or what is asked again in each session: declare, subscribe, serve.

    `lasting`: the latter. `done` has the first answer, an Accepted for a publish and else None. `failed` is called when
    a lasting one is refused, now or later. It is sent after `after` was answered.
    """

    def __init__(
        self,
        id: int,
        kind: Kind,
        body: bytes,
        count: int = 0,
        lasting: bool = True,
        failed: Callable[[Refused], None] = lambda _: None,
        after: Request | None = None,
    ) -> None:
        self.id, self.kind, self.body, self.count, self.lasting = id, kind, body, count, lasting
        self.failed, self.after = failed, after
        self.done: Future[Any] = Future()
        self.sent = self.answered = False  # in this session


class Client:
    """A session with the hub that survives connections. Thread-safe, except that one thread is to close it.

    `Publisher`, `Worker`, `Caller` and `Server` are made of an endpoint, and then have a client of their own, or of a
    client, and then share it: one connection carries everything. The connection, heartbeats and what comes from the hub
    have a thread of their own, so a handler may take as long as it likes. After a lost connection it connects again,
    with growing pauses up to a second, and begins with its services, its subscriptions, and every publish that was not
    accepted.
    """

    def __init__(
        self,
        hub: str | Identity | None = None,
        name: str = "python",
        role: str = "client",
        software: str = SOFTWARE,
        heartbeat_ms: int = 0,
    ) -> None:
        """Begins to connect. `hub`: an endpoint, or an identity with a hub of its own; None: as `default_hub` says. `name`, `role` and `software` are shown in the hub's status; `heartbeat_ms` as of
        `Connection`.

        Raises ValueError for an endpoint that cannot be one.
        """
        self.hub = default_hub() if hub is None else hub
        endpoint = self.hub.hub if isinstance(self.hub, Identity) else self.hub
        self.endpoint, self.name = endpoint, name
        self._hello: dict[str, Any] = {"name": name, "role": role, "software": software, "heartbeat_ms": heartbeat_ms}
        probe: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        with probe:
            probe.setsockopt(zmq.LINGER, 0)
            try:
                probe.connect(endpoint)
            except zmq.ZMQError as error:
                raise ValueError(f"{endpoint} is no endpoint: {error}; write tcp://HOST:PORT or ipc://PATH") from None
        # Guards all below but the connection, which is the thread's.
        self._changed = threading.Condition()
        self._session = 0  # counts welcomes; what belongs to an earlier one is void
        self._live = self._closing = False
        self._refusal: NotAdmitted | None = None
        self._ids = itertools.count(1)
        self._outgoing: collections.deque[Callable[[Connection], None]] = collections.deque()
        self._requests: dict[int, Request] = {}
        self._held_until, self._refusals = 0.0, 0
        self._consumers: dict[int, Consumer] = {}
        self._settlements: dict[int, list[Settlement]] = {}
        self._channels: dict[int, Channel] = {}
        self._services: dict[str, Callable[[Channel, pb.CallHead], None]] = {}
        self.max_batch, self.max_body, self.max_message = 4096, 8 << 20, 1 << 20
        self._ear, self._bell = socket.socketpair()
        self._ear.setblocking(False)
        self._bell.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=f"tocsin {name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_connected(self) -> bool:
        """Whether there is a session at this moment."""
        return self._live

    @property
    def session(self) -> int:
        """Which session it is, counted from 1: what was delivered in an earlier one is void."""
        return self._session

    def ready(self, timeout: float | None = 10.0) -> None:
        """Waits for a session. Raises TimedOut, NotAdmitted, Closed."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._live or self._closing or self._refusal, timeout):
                raise TimedOut(f"no hub answered at {self.endpoint} in {timeout} s; is it running there?")
            if self._closing:
                raise Closed("the client is closed")
            if self._refusal and not self._live:
                raise self._refusal

    def close(self) -> None:
        """Sends what is settled and said already, and goodbye. What waits for an answer raises Closed. Safe to call
        twice."""
        with self._changed:
            was_live, self._closing = self._live, True
            self._changed.notify_all()
            self._ring()
        if was_live and threading.current_thread() is not self._thread:
            self._thread.join(timeout=5.0)
        self._fail_all()

    # -- for the classes above -----------------------------------------------------------------------------------------

    def wait(self, done: Future[_T], timeout: float | None, what: str) -> _T:
        """The value of a future, or TimedOut with `what` was waited for."""
        try:
            return done.result(timeout)
        except FutureTimeout:
            why = (
                "the hub has not answered"
                if self._live
                else f"no hub answered at {self.endpoint}; is it running there?"
            )
            raise TimedOut(f"{what}, in {timeout} s: {why}") from None

    def request(
        self,
        kind: Kind,
        body: bytes,
        count: int = 0,
        lasting: bool = True,
        failed: Callable[[Refused], None] = lambda _: None,
        after: Request | None = None,
        consumer: Consumer | None = None,
    ) -> Request:
        """Sends a request, again in each session, until it is answered, or for ever if it is `lasting`. `failed` and
        `consumer` are called on the client's thread. Raises Closed."""
        with self._changed:
            self._check_open()
            request = Request(next(self._ids), kind, body, count, lasting, failed, after)
            self._requests[request.id] = request
            if consumer is not None:
                self._consumers[request.id] = consumer
            self._post(self._send_requests)
        return request

    def forget(self, request: Request) -> None:
        """Nobody waits for it any more; it is not sent again."""
        with self._changed:
            self._requests.pop(request.id, None)

    def publish(self, encoded: Sequence[bytes]) -> Request:
        """Sends a batch, within the hub's bounds."""
        return self.request(Kind.PUBLISH, length_prefixed(encoded), len(encoded), lasting=False)

    def consume(
        self,
        pool: str,
        credit: int,
        consumer: Consumer,
        failed: Callable[[Refused], None],
        spec: pb.PoolSpec | None,
    ) -> Request:
        """Joins a pool, and declares it first if there is a `spec`. `consumer` gets the subscription, the session and
        the deliveries."""
        declared = None if spec is None else self.request(Kind.DECLARE, spec.SerializeToString(), failed=failed)
        subscribe = pb.Subscribe(pool=pool, credit=credit)
        return self.request(
            Kind.SUBSCRIBE, subscribe.SerializeToString(), failed=failed, after=declared, consumer=consumer
        )

    def settle(self, subscription: int, session: int, settlement: Settlement) -> bool:
        """Settles a delivery of this session; false if it is void, because the session is another."""
        with self._changed:
            if session != self._session or not self._live or subscription not in self._consumers:
                return False
            waiting = self._settlements.setdefault(subscription, [])
            waiting.append(settlement)
            if len(waiting) == 1:
                self._post(lambda connection: self._send_settlements(connection, subscription))
            return True

    def leave(self, subscription: Request) -> None:
        """Leaves a pool, after what was settled: what it still holds goes to others."""
        with self._changed:
            self._requests.pop(subscription.id, None)
            if subscription.after is not None:
                self._requests.pop(subscription.after.id, None)
            if self._consumers.pop(subscription.id, None):
                self._post(lambda connection: self._send_settlements(connection, subscription.id))
                self._post(lambda connection: connection.send(Kind.UNSUBSCRIBE, subscription.id, 0))

    def offer(self, service: str, exclusive: bool, handler: Callable[[Channel, pb.CallHead], None]) -> Request:
        """Serves a service; `handler` gets each call, on the client's thread."""
        with self._changed:
            self._services[service] = handler
        return self.request(Kind.SERVE, pb.Serve(service=service, exclusive=exclusive).SerializeToString())

    def withdraw(self, service: str, offer: Request) -> None:
        """Takes an offer back: no new calls, those that have begun go on."""
        body = pb.Serve(service=service, withdraw=True).SerializeToString()
        with self._changed:
            self._requests.pop(offer.id, None)
            id = next(self._ids)
            self._post(lambda connection: connection.send(Kind.SERVE, id, 0, body))

    def open(self, head: pb.CallHead, timeout: float | None) -> Channel:
        """A call, not begun yet, once there is a session. Raises CallError."""
        while True:
            try:
                self.ready(timeout)
            except TimedOut as problem:
                raise CallError(Code.UNAVAILABLE, str(problem)) from None
            with self._changed:
                self._check_open()
                if self._live:
                    channel = Channel(self, self._session, next(self._ids), head.method)
                    self._channels[channel.id] = channel
                    return channel

    def post(self, channel: Channel, action: Callable[[Connection], None], last: bool = False) -> None:
        """Sends something of a call, if its session is still there; with `last` the call is over."""
        with self._changed:
            if last:
                self._channels.pop(channel.id, None)
            if channel.session == self._session and self._live:
                self._post(action)

    # -- leaves, with the lock held ------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closing:
            raise Closed("the client is closed")

    def _post(self, action: Callable[[Connection], None]) -> None:
        """For the thread. Without a session it is nothing: each session begins with all there is."""
        if self._live:
            self._outgoing.append(action)
            self._ring()

    def _ring(self) -> None:
        if self._bell.fileno() < 0:
            return
        try:
            self._bell.send(b"!")
        except BlockingIOError:
            pass  # Enough rings are there.

    # -- the client's thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._connect_again_and_again()
        finally:
            with self._changed:
                self._ear.close()
                self._bell.close()

    def _connect_again_and_again(self) -> None:
        failures = 0
        while not self._closing:
            try:
                connection = Connection(self.hub, timeout=1.0, **self._hello)
            except (TimedOut, Lost) as problem:
                log.debug("%s: %s", self.endpoint, problem)
            except (NotAdmitted, Refused, zmq.ZMQError) as problem:
                log.warning("no session with %s: %s", self.endpoint, problem)
                with self._changed:
                    self._refusal = problem if isinstance(problem, NotAdmitted) else None
                    self._changed.notify_all()
            else:
                began = time.monotonic()
                self._begin(connection)
                try:
                    self._serve(connection)
                    connection.close()
                    return
                except Exception as problem:
                    # Any that is not the session's end is a fault of this package; the session begins anew all the
                    # same.
                    level = logging.WARNING if isinstance(problem, (Lost, Refused)) else logging.ERROR
                    log.log(
                        level, "%s; connecting again to %s", problem, self.endpoint, exc_info=level == logging.ERROR
                    )
                    connection.drop()
                    self._end()
                if time.monotonic() - began > 3 * connection.heartbeat:
                    failures = 0
            # At once the first time.
            pause = min(1.0, 0.05 * 2**failures) if failures else 0.0
            failures = min(failures + 1, 5)
            with self._changed:
                self._changed.wait_for(lambda: self._closing, pause)

    def _begin(self, connection: Connection) -> None:
        welcome = connection.welcome
        self._refusal = None
        log.info("connected to %s: %s, epoch %d", self.endpoint, welcome.hub, welcome.epoch)
        connection.watch(self._ear.fileno())
        with self._changed:
            self._outgoing.clear()
            self._settlements.clear()
            self.max_batch = welcome.max_batch or self.max_batch
            self.max_body = welcome.max_body_bytes or self.max_body
            self.max_message = welcome.max_message_bytes or self.max_message
            self._session += 1
            self._live = True
            for request in self._requests.values():
                request.sent = request.answered = False
            self._held_until = 0.0
            self._post(self._send_requests)
            self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            self._live = False
            self._outgoing.clear()
            self._settlements.clear()
            channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            channel.end(
                CallError(Code.UNAVAILABLE, "the connection to the hub was lost; the call may have had an effect")
            )

    def _fail_all(self) -> None:
        self._end()
        with self._changed:
            waiting, self._requests = list(self._requests.values()), {}
        for request in waiting:
            if not request.done.done():
                request.done.set_exception(Closed("the client was closed"))

    def _serve(self, connection: Connection) -> None:
        """Until the client is closed. Raises Lost."""
        while True:
            with self._changed:
                actions = list(self._outgoing)
                self._outgoing.clear()
                closing, held = self._closing, self._held_until
            for action in actions:
                action(connection)
            if closing:
                return
            now = time.monotonic()
            if held and now >= held:
                with self._changed:
                    self._held_until = 0.0
                    self._post(self._send_requests)
                continue
            received = connection.receive(min(1.0, held - now) if held else 1.0)
            if received is None:
                try:
                    while self._ear.recv(4096):
                        pass
                except BlockingIOError:
                    continue
            else:
                self._received(connection, received)

    def _received(self, connection: Connection, message: Message) -> None:
        if message.kind == Kind.STATUS:
            self._status(message)
        elif message.kind == Kind.ACCEPTED:
            with self._changed:
                request = self._requests.pop(message.id, None)
                self._refusals = 0
            if request is not None:
                request.done.set_result(read(pb.Accepted, message.frames[0]))
        elif message.kind == Kind.DELIVER:
            consumer = self._consumers.get(message.id)
            if consumer is not None:
                consumer(
                    message.id,
                    self._session,
                    read_deliveries(message, lambda delivery, problem: self._reject(message.id, delivery, problem)),
                )
        elif message.kind == Kind.CALL:
            self._called(message)
        elif message.kind in (Kind.MESSAGE, Kind.HEADERS, Kind.REPLY, Kind.WINDOW, Kind.CANCEL):
            with self._changed:
                channel = self._channels.get(message.id)
            if channel is not None:
                channel.take(message)
        elif message.kind not in (Kind.WELCOME, Kind.HEARTBEAT, Kind.TAPPED, Kind.GAP):
            raise ProtocolError(f"{message.kind.name} from a hub")

    def _reject(self, subscription: int, delivery: Delivery, problem: str) -> None:
        """No worker can read it."""
        self.settle(
            subscription, self._session, (delivery, Outcome.REJECT, 0, f"the message cannot be read: {problem}")
        )

    def _status(self, message: Message) -> None:
        status = read(pb.Status, message.frames[0])
        refusal = (
            Refused(message.reason, status.reason, status.code, status.message, status.index)
            if message.reason
            else None
        )
        if refusal is not None and refusal.name == "NOT_WELCOMED":
            raise Lost("the hub does not know this session")
        with self._changed:
            request, channel = self._requests.get(message.id), self._channels.get(message.id)
            if request is not None and refusal is None:
                request.answered = True
                self._post(self._send_requests)
            elif request is not None and refusal is not None:
                # What the hub cannot do now it can do later.
                if refusal.code == Code.UNAVAILABLE or refusal.name in ("RATE_LIMITED", "QUOTA_EXCEEDED"):
                    self._hold(refusal, status.retry_after_ms / 1000)
                    request.sent = False
                    return
                del self._requests[message.id]
        if request is not None and not request.done.done():
            request.done.set_result(None) if refusal is None else request.done.set_exception(refusal)
        if refusal is not None:
            if request is not None:
                request.failed(refusal)
            if channel is not None:
                channel.end(CallError(refusal.code, status.message, (), refusal.reason, refusal.name))

    def _hold(self, refusal: Refused, retry_after: float) -> None:
        """With the lock held: what was refused for now is sent again after a pause, which grows up to a second and is as long as
        the hub says, up to ten."""
        if not self._held_until:
            log.warning("the hub refuses for now: %s", refusal)
            pause = max(min(1.0, 0.01 * 2**self._refusals), min(10.0, retry_after))
            self._held_until = time.monotonic() + pause
            self._refusals = min(self._refusals + 1, 7)

    def _called(self, message: Message) -> None:
        head = read(pb.CallHead, message.frames[0])
        if message.id < SERVED:
            raise ProtocolError("a call with an id that is not the hub's")
        channel = Channel(self, self._session, message.id, head.method)
        with self._changed:
            self._channels[message.id] = channel
            handler = self._services.get(head.method.rpartition("/")[0])
        channel.take(message)
        if handler is None:
            channel.reply(Code.UNIMPLEMENTED, f"{head.method.rpartition('/')[0]} is not served here")
        else:
            handler(channel, head)

    def _send_requests(self, connection: Connection) -> None:
        with self._changed:
            if self._held_until:
                return
            # In the order in which they were made first.
            unsent = [
                request
                for _, request in sorted(self._requests.items())
                if not request.sent and (request.after is None or request.after.answered)
            ]
            for request in unsent:
                request.sent = True
        for request in unsent:
            connection.send(request.kind, request.id, request.count, request.body)

    def _send_settlements(self, connection: Connection, subscription: int) -> None:
        with self._changed:
            settlements = self._settlements.pop(subscription, [])
        if settlements:
            connection.settle(subscription, settlements)
