"""What the checking tools have in common: a hub process of its own, a client of it, and comparing and waiting."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time

from tocsin import Connection, Lost
from tocsin.v1 import broker_pb2 as pb

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# The hubs of the checking tools have no keys, unless a tool makes some.
os.environ["TOCSIN_ALLOW_PLAIN_TCP"] = "true"
EXECUTABLE = os.environ.get("TOCSIN", os.path.join(ROOT, ".build", "debug", "tocsin"))


class Hub:
    """A hub process in a temporary directory, on a free port. Not started yet."""

    def __init__(self, tool):
        self.directory = tempfile.mkdtemp(prefix=f"tocsin-{tool}-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        self.configuration = os.path.join(self.directory, "tocsin.yaml")
        with open(self.configuration, "w") as file:
            file.write(f"endpoint: {self.endpoint}\ndata: {self.directory}/data\n")
        self.log = open(os.path.join(self.directory, "log"), "ab")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [EXECUTABLE, "hub", "--config", self.configuration],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=self.directory)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("the hub did not end within 10 s") from None
        self.log.close()

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

    @contextlib.contextmanager
    def client(self, name, **options):
        peer = Connection(self.endpoint, name=name, **options)
        try:
            yield peer
        finally:
            with contextlib.suppress(Lost):
                peer.close()


def equal(found, expected, what=""):
    if found != expected:
        raise AssertionError(f"{what}: found {found!r}, expected {expected!r}")


def until(condition, timeout=10.0):
    """Waits for a condition that has no message of its own."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s")
        time.sleep(0.02)


def hub_status(peer):
    return peer.call("tocsin.v1.BrokerAdmin/GetStatus", pb.GetStatusRequest(), pb.GetStatusResponse)


def pool_status(peer, name):
    return next(pool for pool in hub_status(peer).pools if pool.name == name)
