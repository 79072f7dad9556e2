"""Working on the messages of a pool."""

from __future__ import annotations

import logging
from typing import Callable, Sequence

from .client import Client, Request
from .errors import Refused
from .identity import Identity
from .peer import Crew, Running
from .v1 import broker_pb2 as pb
from .wire import Delivery, Outcome

log = logging.getLogger("tocsin")


class Retry(Exception):
    """Raised by a handler: deliver the message again, `after` so many seconds (0: the pool's backoff); it counts as an
    attempt."""

    def __init__(self, reason: str = "", after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.after = reason, after


class Reject(Exception):
    """Raised by a handler: the message can never be worked on; it becomes a dead letter with this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Worker(Running):
    """Takes messages from a pool and settles each as its handler ends: returned, it is acknowledged.

        def handle(delivery: tocsin.Delivery) -> None:
            if not understood(delivery.envelope.payload):
                raise tocsin.Reject("no such format")
            store(delivery.envelope)

        tocsin.Worker("tcp://127.0.0.1:7117", "storage", handle, filters=["event.>"]).run()

    A handler that raises `Retry` has the message delivered again, `Reject` makes it a dead letter, and any other
    exception is a retry with the pool's backoff. Heartbeats go on while a handler runs. Delivery is at least once: a
    message whose handler takes longer than the pool's visibility time, or whose connection is lost meanwhile, is given
    to somebody else, and what the handler made of it is void; so make effects idempotent by `delivery.envelope.id`.
    Settling is fenced: nothing is settled that was delivered in an earlier session. Handlers run on `threads` threads
    of the worker.
    """

    def __init__(
        self,
        hub: str | Identity | Client | None,
        pool: str,
        handler: Callable[[Delivery], None],
        *,
        filters: Sequence[str] = (),
        credit: int = 16,
        threads: int = 1,
        name: str = "worker",
        visibility: float = 0.0,
        max_attempts: int = 0,
        backoff: float = 0.0,
        from_start: bool = False,
        exclusive: bool = False,
    ) -> None:
        """With `filters` the pool is declared, with its limits: seconds of visibility and backoff, 0 for the hub's
        defaults; without, it must be there. `credit`: how many messages may be here at once, 1 to 65,536; at least
        `threads`."""
        super().__init__(hub, name, "worker")
        self.pool, self.handler, self.credit = pool, handler, credit
        self.spec = (
            pb.PoolSpec(
                name=pool,
                filters=filters,
                visibility_ms=round(visibility * 1000),
                max_attempts=max_attempts,
                from_start=from_start,
                backoff_ms=round(backoff * 1000),
                exclusive=exclusive,
            )
            if filters
            else None
        )
        # Settlements that were void, because their session was over.
        self.stale = 0
        self._threads = threads
        self._crew: Crew[tuple[int, int, Delivery]] | None = None
        self._subscription: Request | None = None

    def start(self, timeout: float | None = 30.0) -> None:
        if self._subscription is not None:
            raise RuntimeError(f"the worker of pool {self.pool} was started before")
        self._crew = Crew(self._threads, self._work, f"{self.pool} handler")
        self._subscription = self.client.consume(self.pool, self.credit, self._delivered, self._failed, self.spec)
        for request in (self._subscription.after, self._subscription):
            if request is not None:
                self.client.wait(request.done, timeout, f"pool {self.pool} is not joined")

    def stop(self, timeout: float = 30.0) -> bool:
        if self._crew is None or self._subscription is None:
            return True
        ended = self._crew.stop(timeout)
        self.client.leave(self._subscription)
        if self._owns:
            self.client.close()
        return ended

    def _failed(self, refusal: Refused) -> None:
        self.failure = refusal

    def _delivered(self, subscription: int, session: int, deliveries: list[Delivery]) -> None:
        assert self._crew is not None
        for delivery in deliveries:
            self._crew.put((subscription, session, delivery))

    def _work(self, item: tuple[int, int, Delivery]) -> None:
        subscription, session, delivery = item
        if session != self.client.session or not self.client.is_connected:
            return  # It is somebody else's by now.
        outcome, delay, reason = Outcome.ACK, 0, ""
        try:
            self.handler(delivery)
        except Retry as retry:
            outcome, reason = Outcome.RETRY, retry.reason
            delay = max(1, round(retry.after * 1000)) if retry.after > 0 else 0
        except Reject as reject:
            outcome, reason = Outcome.REJECT, reject.reason
        except Exception as problem:
            log.exception("message %d of pool %s, attempt %d", delivery.sequence, self.pool, delivery.attempt)
            outcome, reason = Outcome.RETRY, f"{type(problem).__name__}: {problem}"
        if not self.client.settle(subscription, session, (delivery, outcome, delay, reason)):
            self.stale += 1
            log.info("message %d of pool %s was settled too late: its session is over", delivery.sequence, self.pool)
