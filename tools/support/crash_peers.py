"""Producers and workers of tools/crash-test, and what their logs say about a hub.

Each is a process of its own, and may be killed with SIGKILL at any moment. Before a worker sends a settlement, it writes it
to its log; a producer writes what was acknowledged, synced. Lines, each written at once:

    A FIRST ID...                                  producer: a batch was accepted, FIRST is its first sequence (0: unknown)
    N EPOCH                                        worker: a new session, with this start of the hub
    R TIME POOL SEQUENCE TOKEN ATTEMPT KEY ID      worker: a delivery came ("-": no key)
    S TIME NUMBER POOL SEQUENCE TOKEN ATTEMPT FATE ID   worker: settles it, as ack (its effect), retry or reject
    M TIME NUMBER                                  worker: settlements up to NUMBER of this session are on the hub's disk

M is what makes a doubled effect exact. PROTOCOL.md: a settlement is journaled with the next sync, and delivered again only
if the hub crashes before. A worker publishes a mark after its settlements; when the mark is accepted, a sync that began
after them is over, in a session that never broke: what it settled must not come again.
"""

import collections
import os
import random
import signal
import sys
import time
import zlib

sys.dont_write_bytecode = True
sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "python"))
from tocsin import Connection, Kind, Lost, Refused, TimedOut, envelope
from tocsin.connection import raise_if_status
from tocsin.v1 import broker_pb2 as pb
from tocsin.wire import ACK, REJECT, RETRY

POOLS = ("alpha", "beta")
ATTEMPTS = {"alpha": 255, "beta": 30}
FATES = {ACK: "ack", RETRY: "retry", REJECT: "reject"}


def fate(pool, id, attempt):
    """What a worker does with a message: the same whoever gets it."""
    number = zlib.crc32(id.encode() + pool.encode())
    if number % 1009 == 0:
        return REJECT
    if pool == "beta" and number % 2003 == 1:
        return RETRY
    return RETRY if number % 37 == 2 and attempt == 1 else ACK


def is_poison(pool, id):
    return fate(pool, id, 1) == REJECT or fate(pool, id, 2) == RETRY


class Log:
    """Lines that survive the process's end at any moment; synced ones the machine's too."""

    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        # What a predecessor left unfinished ends here.
        self.write("")

    def write(self, text, sync=False):
        os.write(self.file, f"{text}\n".encode())
        if sync:
            os.fdatasync(self.file)


class Peer:
    """A client that comes back, to a hub that may be away for some time."""

    def __init__(self, endpoint, name, role):
        self.endpoint, self.name, self.role = endpoint, name, role
        self.client = None

    def connect(self):
        self.drop()
        while True:
            try:
                self.client = Connection(self.endpoint, self.name, self.role, timeout=1.0)
                self.begin()
                return
            except (Lost, Refused, TimedOut):
                self.drop()

    def drop(self):
        if self.client:
            self.client.socket.close(linger=0)
        self.client = None

    def begin_again(self, refusal):
        """Connects anew after a refusal that passes; raises any other."""
        if refusal.name == "STORAGE_FAILED":
            time.sleep(0.2)
        elif refusal.name not in ("NOT_WELCOMED", "SHUTTING_DOWN"):
            raise refusal
        self.connect()


class Producer(Peer):
    """Publishes until it is told to end, and then until everything is acknowledged."""

    def __init__(self, endpoint, name, log, seed, rate=500):
        super().__init__(endpoint, name, "detector")
        self.log, self.draw, self.rate = log, random.Random(f"{seed} {name}"), rate
        self.number = 0
        self.unanswered = collections.OrderedDict()

    def batch(self, count=None, payload=None):
        messages = []
        for _ in range(count or self.draw.choice((1, 2, 5, 10, 30))):
            self.number += 1
            # Over all producers few enough that keys are busy. What is delayed joins its key only when due, so it has none.
            key = f"key-{self.draw.randrange(60)}" if self.draw.random() < 0.7 else ""
            delay = self.draw.randrange(20, 300) if not key and self.draw.random() < 0.05 else 0
            messages.append(envelope(
                "load.x", payload or bytes(self.draw.randrange(20, 300)), id=f"{self.name}.{self.number}".encode(), key=key,
                severity=self.draw.randrange(1, 5), not_before=int(time.time() * 1000) + delay if delay else 0))
        return messages

    def begin(self):
        # With the same ids, and in the order of the first time.
        waiting, self.unanswered = list(self.unanswered.values()), collections.OrderedDict()
        for batch in waiting:
            self.send(batch)

    def send(self, batch):
        self.unanswered[self.client.begin_publish(batch)] = batch

    def accepted(self, id, receipt):
        batch = self.unanswered.pop(id)
        first = receipt.first_sequence if receipt.duplicates == 0 else 0
        self.log.write(f"A {first} {' '.join(m.id.decode() for m in batch)}", sync=True)

    def take(self, timeout):
        """Handles one answer, if one comes in time. Raises Lost or Refused for a session that is over."""
        received = self.client.receive(timeout)
        if received is None:
            return
        raise_if_status(received)
        if received.kind == Kind.ACCEPTED and received.id in self.unanswered:
            self.accepted(received.id, pb.Accepted.FromString(received.frames[0]))

    def run(self, stopping):
        self.connect()
        due = time.monotonic()
        while self.unanswered or not stopping():
            try:
                now = time.monotonic()
                if not stopping() and len(self.unanswered) < 8 and now >= due:
                    batch = self.batch()
                    due = max(due, now - 0.1) + len(batch) / self.rate
                    self.send(batch)
                self.take(max(0.0, min(0.05, due - now)))
            except Lost:
                self.connect()
            except Refused as refusal:
                self.begin_again(refusal)


class Worker(Peer):
    """Takes from both pools and settles as `fate` says, after `work` seconds with each batch."""

    def __init__(self, endpoint, name, log, seed=0, pools=POOLS, credit=32, work=None):
        super().__init__(endpoint, name, "worker")
        self.log, self.draw, self.pools, self.credit, self.work = log, random.Random(f"{seed} {name}"), pools, credit, work

    def begin(self):
        self.settled, self.mark_due = 0, time.monotonic()
        # The mark that was published and not yet accepted: its request, and the settlements before it.
        self.mark, self.marked = None, 0
        self.log.write(f"N {self.client.welcome.epoch}")
        self.subscriptions = {self.client.subscribe(pool, self.credit): pool for pool in self.pools}

    def pump(self, timeout):
        """Handles one message of the hub. True: settled something. Raises Lost or Refused for a session that is over."""
        received = self.client.inbox.popleft() if self.client.inbox else self.client.receive(timeout)
        if received is not None:
            raise_if_status(received)
        if received is not None and received.kind == Kind.ACCEPTED and received.id == self.mark:
            self.log.write(f"M {time.monotonic_ns()} {self.marked}")
            self.mark = None
        did = received is not None and received.kind == Kind.DELIVER and self.handle(received)
        if self.mark is None and self.marked < self.settled and time.monotonic() >= self.mark_due:
            self.marked, self.mark_due = self.settled, time.monotonic() + 0.05
            self.mark = self.client.begin_publish([envelope("mark.x")])
        return did

    def handle(self, received):
        pool = self.subscriptions[received.id]
        self.client.inbox.appendleft(received)
        deliveries = self.client.deliveries(received.id)
        now = time.monotonic_ns()
        self.log.write("\n".join(
            f"R {now} {pool} {d.sequence} {d.token} {d.attempt} {d.envelope.key or '-'} {d.envelope.id.decode()}"
            for d in deliveries))
        if self.work is not None:
            time.sleep(self.work)
        elif self.draw.random() < 0.2:
            time.sleep(self.draw.uniform(0, 0.01))
        now, lines, settlements = time.monotonic_ns(), [], []
        for d in deliveries:
            id = d.envelope.id.decode()
            outcome = fate(pool, id, d.attempt)
            self.settled += 1
            lines.append(f"S {now} {self.settled} {pool} {d.sequence} {d.token} {d.attempt} {FATES[outcome]} {id}")
            settlements.append((d, outcome, self.draw.randrange(30), FATES[outcome]))
        self.log.write("\n".join(lines))
        self.client.settle(received.id, settlements)
        return True

    def run(self, stopping):
        self.connect()
        # At the end all settlements get their mark.
        while not stopping() or self.mark is not None or self.marked < self.settled:
            try:
                self.pump(0.02)
            except Lost:
                self.connect()
            except Refused as refusal:
                self.begin_again(refusal)
        self.client.close()


# -- what the logs say --------------------------------------------------------------------------------------------------

# ns: time. `settled`: time it was settled, or 0. `sealed`: the settlement is known to be on the hub's disk.
Delivery = collections.namedtuple("Delivery", "received epoch sequence attempt key settled fate sealed")


class Judge:
    """Reads every log; counts what became of every acknowledged message."""

    def __init__(self, directory):
        self.acknowledged, self.wrong = {}, []
        self.deliveries = {pool: collections.defaultdict(list) for pool in POOLS}
        for name in sorted(os.listdir(directory)):
            if name.endswith(".events"):
                self.read(os.path.join(directory, name))

    def read(self, path):
        session, epoch = {}, 0

        def close(sealed):
            for pool, id, received, sequence, attempt, key, settled, fate, number in session.values():
                self.deliveries[pool][id].append(
                    Delivery(received, epoch, sequence, attempt, key, settled, fate, 0 < number <= sealed))
            session.clear()

        sealed = 0
        with open(path, errors="replace") as file:
            for line in file:
                if not line.endswith("\n"):
                    break
                kind, *fields = line.split() or [""]
                if kind == "A":
                    for id in fields[1:]:
                        if id in self.acknowledged:
                            self.wrong.append(f"{id} was acknowledged to its producer twice by two batches")
                        self.acknowledged[id] = int(fields[0])
                elif kind == "N":
                    close(sealed)
                    epoch, sealed = int(fields[0]), 0
                elif kind == "R" and len(fields) == 7:
                    time, pool, sequence, token, attempt, key, id = fields
                    session[pool, sequence, token] = [pool, id, int(time), int(sequence), int(attempt), key, 0, "", 0]
                elif kind == "S" and len(fields) == 8:
                    time, number, pool, sequence, token, _, fate, _ = fields
                    session[pool, sequence, token][6:] = int(time), fate, int(number)
                elif kind == "M" and len(fields) == 2:
                    sealed = int(fields[1])
        close(sealed)

    def count(self, pools, letters):
        """`pools`: PoolStatus by name. `letters`: ids of each pool's dead letters. Returns missing, doubled, out of order."""
        missing = doubled = disordered = 0
        for pool in POOLS:
            dead, seen = set(letters[pool]), self.deliveries[pool]
            acked = {id for id, deliveries in seen.items() if any(d.fate == "ack" for d in deliveries)}
            status, expected = pools[pool], len(self.acknowledged)
            if len(dead) != len(letters[pool]) or len(dead) != status.dead:
                self.wrong.append(f"{pool}: {status.dead} dead letters counted, {len(letters[pool])} listed, {len(dead)} different")
            if (status.matched, status.acked + status.dead) != (expected, expected):
                self.wrong.append(
                    f"{pool}: {expected} messages were acknowledged; the hub stored {status.matched}, "
                    f"{status.acked} are acked and {status.dead} dead")
            for id in self.acknowledged:
                if id not in acked and id not in dead:
                    missing += 1
                    self.tell(missing, f"{pool}: {id} was acknowledged and has no fate", seen.get(id))
                elif is_poison(pool, id) != (id in dead):
                    self.wrong.append(f"{pool}: {id} has another fate than its workers gave it: {seen.get(id)}")
            for id in set(seen) - set(self.acknowledged):
                self.wrong.append(f"{pool}: {id} was delivered and never acknowledged to its producer")
            for id, deliveries in seen.items():
                again = self.again(deliveries)
                if again:
                    doubled += 1
                    self.tell(doubled, f"{pool}: {id} came again after its settlement was on disk", deliveries)
            for what in self.disorder(pool, dead):
                disordered += 1
                self.tell(disordered, f"{pool}: {what}", [])
        return missing, doubled, disordered

    def tell(self, number, text, deliveries):
        if number <= 5:
            self.wrong.append("\n      ".join([text, *map(str, sorted(deliveries or []))]))

    @staticmethod
    def again(deliveries):
        """Whether a message came again after an ack or reject that was on the hub's disk. An earlier delivery that a slow
        worker read late does not count: it is of an earlier start of the hub, or a lower attempt of the same."""
        return any(
            d.epoch > s.epoch or (d.epoch == s.epoch and d.attempt > s.attempt)
            for s in deliveries if s.sealed and s.fate in ("ack", "reject") for d in deliveries)

    def disorder(self, pool, dead):
        """Where the order within a key was broken. In stream order, of each message and the one before of its key: it must
        not come before a final settlement of that one was sent, and in one start of the hub no later than that one's last
        delivery was settled."""
        keys = collections.defaultdict(list)
        for id, deliveries in self.deliveries[pool].items():
            if deliveries[0].key != "-":
                keys[deliveries[0].key].append((deliveries[0].sequence, id, deliveries))
        for key, messages in keys.items():
            messages.sort()
            for (_, before, earlier), (_, id, later) in zip(messages, messages[1:]):
                first = min(d.received for d in later)
                final = [d.settled for d in earlier if d.fate in ("ack", "reject")]
                # Given up after its attempts: the last of them ends it.
                final += [d.settled for d in earlier if d.fate == "retry" and before in dead and d.attempt == ATTEMPTS[pool]]
                if final and first < min(final):
                    yield f"{id} of {key} came {(min(final) - first) / 1e6:.1f} ms before {before} was settled"
                elif not final and before not in dead:
                    yield f"{id} of {key} came, {before} was never settled"
                for epoch in {d.epoch for d in earlier if d.sealed} & {d.epoch for d in later}:
                    end = max(d.settled for d in earlier if d.sealed and d.epoch == epoch)
                    start = min(d.received for d in later if d.epoch == epoch)
                    if start < end:
                        yield f"{id} of {key} came {(end - start) / 1e6:.1f} ms before the end of {before}, in start {epoch}"

    @property
    def redelivered(self):
        return sum(len(d) - 1 for pool in POOLS for d in self.deliveries[pool].values())


def main():
    role, endpoint, name, path, seed, *more = sys.argv[1:]
    stops = []
    signal.signal(signal.SIGTERM, lambda *_: stops.append(1))
    if role == "producer":
        Producer(endpoint, name, Log(path), seed).run(lambda: stops)
    else:
        options = {"pools": more[0].split(","), "credit": int(more[1]), "work": float(more[2])} if more else {}
        Worker(endpoint, name, Log(path), seed, **options).run(lambda: stops)


if __name__ == "__main__":
    main()
