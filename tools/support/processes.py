"""Processes of tools/bench and tools/demo: every one that is started is ended, also on failure, Ctrl-C and kill."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# The hubs of the tools have no keys, unless a tool makes some.
os.environ["TOCSIN_ALLOW_PLAIN_TCP"] = "true"
# If this script is killed with SIGKILL its `finally` does not run; then the kernel ends what it started.
DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


class Failed(Exception):
    """What went wrong, in one sentence for a person."""


def say(text):
    """Progress, for people: standard error."""
    print(text, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, what, timeout):
    """Waits until condition() is true; its value is returned. Raises Failed past the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {timeout} s")
        time.sleep(0.05)


class Processes:
    """Started processes by name, each with a log file in `directory`."""

    def __init__(self, directory):
        self.directory = directory
        self.running = {}

    def start(self, name, arguments, **options):
        log = open(os.path.join(self.directory, name + ".log"), "ab")
        options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "cwd": self.directory, **options}
        with log:
            process = subprocess.Popen([*DIE_WITH_PARENT, *map(str, arguments)], **options)
        self.running[name] = process
        return process

    def log(self, name, lines=20):
        """The last lines of a process's log."""
        with open(os.path.join(self.directory, name + ".log"), errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def check(self):
        """Raises Failed if a process has ended by itself."""
        for name, process in self.running.items():
            if process.poll() is not None:
                raise Failed(f"{name} ended with {process.returncode}:\n{self.log(name)}")

    def kill(self, name):
        """SIGKILL, as a crash: the process has no chance to tidy up."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop(self, name, timeout=15):
        process = self.running.pop(name)
        process.terminate()
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failed(f"{name} did not end within {timeout} s of SIGTERM:\n{self.log(name)}") from None

    def stop_all(self):
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        deadline = time.monotonic() + 10
        for process in self.running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running = {}


@contextlib.contextmanager
def workplace(name, parent=None, keep=False):
    """A temporary directory and the processes in it. Kept when asked or when something fails, and said where."""
    directory = tempfile.mkdtemp(prefix=f"{name}-", dir=parent)
    processes = Processes(directory)

    def interrupted(number, _):
        raise Failed(f"interrupted by signal {number}")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        yield processes
    except BaseException:
        processes.stop_all()
        say(f"{name}: logs and data are kept in {directory}")
        raise
    processes.stop_all()
    if keep:
        say(f"{name}: logs and data are kept in {directory}")
    else:
        shutil.rmtree(directory)
