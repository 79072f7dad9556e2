"""What the tools that run checks with names have in common."""

import os
import subprocess
import sys
import time
import traceback

from processes import Failed


class Skipped(Exception):
    """Why a check cannot be made here, in one sentence."""


def expect(condition, sentence):
    if not condition:
        raise Failed(sentence)


class Checks:
    """The checks of a tool, in order. As a decorator it takes one more; its name states the property."""

    def __init__(self):
        self.all = []

    def __call__(self, name):
        def take(function):
            self.all.append((name, function))
            return function

        return take

    def run(self, call, only=""):
        """Calls `call` with each function whose check's name has `only`, and prints how it went, and what the function says in
        figures. Any failure of a check is that check's failure. How many passed, and failed."""
        passed = failed = 0
        for name, function in self.all:
            if only not in name:
                continue
            began = time.monotonic()
            try:
                figures = call(function)
            except Skipped as reason:
                print(f"skip  {name}: {reason}", flush=True)
            except Exception as problem:
                failed += 1
                print(f"FAIL  {name}\n      {type(problem).__name__}: {problem}", flush=True)
                if isinstance(problem, subprocess.CalledProcessError) and problem.stderr:
                    print(problem.stderr, flush=True)
                if not isinstance(problem, (Failed, AssertionError, OSError, subprocess.SubprocessError)):
                    traceback.print_exc()
            else:
                passed += 1
                print(f"ok    {name} ({time.monotonic() - began:.1f} s)", flush=True)
                if figures:
                    print(f"      {figures}", flush=True)
        return passed, failed


def finish(passed, failed):
    """Says how it went, and ends the program: with 1 if anything failed."""
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)


def python_with(folder, packages):
    """The interpreter of a virtual environment in `folder` that has `packages` of PyPI: made once.

    Raises Skipped where they cannot be had.
    """
    python, done = os.path.join(folder, "bin", "python3"), os.path.join(folder, "ready")
    if not os.path.exists(done):
        try:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True, stdout=sys.stderr)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True, stdout=sys.stderr, timeout=300)
        except (subprocess.SubprocessError, OSError) as problem:
            raise Skipped(f"{', '.join(packages)} cannot be installed from PyPI: {problem}") from None
        open(done, "w").close()
    return python
