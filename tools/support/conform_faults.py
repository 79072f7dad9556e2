"""Workers that are broken on purpose, to see that tools/conform notices: `conform_faults.py FAULT`.

Each is the worker of conform_worker.py with one piece of the package under it replaced.
"""

import os
import sys
import time

sys.dont_write_bytecode = True
import conform_worker
import tocsin
from tocsin import channel, client, connection, wire
from tocsin.wire import Kind

settle, begin, take, parse = client.Client.settle, client.Client._begin, channel.Channel.take, connection.parse
receive = connection.Connection.receive


def replace(where, name):
    """Puts the function in the place of `where.name`."""
    return lambda function: setattr(where, name, function)


def settles_twice():
    @replace(client.Client, "settle")
    def _(self, *settlement):
        settle(self, *settlement)
        return settle(self, *settlement)


def wrong_token():
    @replace(client.Client, "settle")
    def _(self, subscription, session, settlement):
        delivery, *rest = settlement
        return settle(self, subscription, session, (delivery._replace(token=delivery.token + 1), *rest))


def settles_the_past():
    @replace(client.Client, "settle")
    def _(self, subscription, _, settlement):
        self.ready()
        return settle(self, subscription, self.session, settlement)


def wrong_count():
    @replace(connection, "header")
    def _(kind, id=0, count=0, **rest):
        return wire.header(kind, id, count + (kind == Kind.SETTLE), **rest)


def adds_credit():
    @replace(client.Client, "settle")
    def _(self, subscription, *rest):
        with self._changed:
            self._post(lambda connection: connection.send(Kind.CREDIT, subscription, 1))
        return settle(self, subscription, *rest)


def forgets(kind):
    """Does not repeat its requests of this kind in a new session."""

    @replace(client.Client, "_begin")
    def _(self, connection):
        if self.session:
            self._requests = {id: request for id, request in self._requests.items() if request.kind != kind}
        begin(self, connection)


def no_heartbeat():
    @replace(client.Client, "_begin")
    def _(self, connection):
        connection.heartbeat = 3600.0
        begin(self, connection)


def waits_for_ever():
    @replace(connection.Connection, "receive")
    def _(self, timeout):
        self.heard = time.monotonic()
        return receive(self, timeout)


def dies_of_unknown_kinds():
    @replace(connection, "parse")
    def _(frames):
        return parse(frames) or os._exit(1)


def dies_of_bad_frames():
    @replace(connection, "parse")
    def _(frames):
        try:
            return parse(frames)
        except tocsin.ProtocolError:
            os._exit(1)


def ignores_windows():
    @replace(connection.Call, "frame")
    def _(self, messages):
        return [wire.length_prefixed(messages)] if messages else []


def gives_no_window():
    @replace(connection.Call, "consumed")
    def _(self, size):
        return 0


def ignores_cancel():
    @replace(channel.Channel, "take")
    def _(self, message):
        if message.kind != Kind.CANCEL:
            take(self, message)


def serves_any_method():
    @replace(tocsin.Server, "_serve")
    def _(self, call):
        call[0].reply()


def drops_what_it_holds():
    @replace(tocsin.Worker, "stop")
    def _(self, timeout=0.0):
        os._exit(0)


FAULTS = {
    "settles-twice": settles_twice,
    "wrong-token": wrong_token,
    "settles-the-past": settles_the_past,
    "wrong-count": wrong_count,
    "adds-credit": adds_credit,
    "forgets-its-pool": lambda: forgets(Kind.SUBSCRIBE),
    "forgets-publishes": lambda: forgets(Kind.PUBLISH),
    "no-heartbeat": no_heartbeat,
    "waits-for-ever": waits_for_ever,
    "dies-of-unknown-kinds": dies_of_unknown_kinds,
    "dies-of-bad-frames": dies_of_bad_frames,
    "ignores-windows": ignores_windows,
    "gives-no-window": gives_no_window,
    "ignores-cancel": ignores_cancel,
    "serves-any-method": serves_any_method,
    "drops-what-it-holds": drops_what_it_holds,
}

if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    conform_worker.main(os.environ["TOCSIN_ENDPOINT"])
