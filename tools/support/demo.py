"""The whole way once, with real processes, a real failure and real crashes. Under 90 seconds once built.

    tools/demo             progress, the incident's timeline, and what became of every event
    tools/demo --json      only the summary on standard output, one line of JSON, for programs
    tools/demo --seed 7    kills when run 7 did

A small web service is watched by a probe and killed: triage calls it critical, a runbook starts it again and verifies,
the incident resolves. Meanwhile a log streams through a second detector: the dynamic linker's own debug log
(LD_DEBUG=all) of Python starting, some 24,000 lines made on the spot. In mid-stream one of two triage workers is killed
with SIGKILL and later the hub itself, and both come back. Which worker, when, and for how long is drawn from a seed, which
is printed: each run is another history.

The summary: `accepted` events by the hub; each is `handled` (in an alert), `suppressed` (a rule set it aside) or
`dead_lettered`, and `missing` otherwise. `doubled`: events counted twice, timeline entries that repeat, runbooks run again.
`detected_ms` and `resolved_ms`: from the moment the service was killed. Exit code 0 only if the service answers, its
incident is resolved, nothing is missing and nothing is doubled.
"""

import argparse
import collections
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request

sys.dont_write_bytecode = True
from processes import ROOT, Failed, free_port, say, until, workplace

TOCSIN = os.path.join(ROOT, ".build", "release", "tocsin")
SHOP = os.path.join(ROOT, "tools", "support", "shop.py")
LINES = 24_000
LINES_PER_SECOND = 1_500

CONFIGURATION = """\
endpoint: tcp://127.0.0.1:{hub_port}
data: {directory}/data
detectors:
  - name: probe
    checks:
      - name: shop-health
        service: shop
        severity: critical
        interval: 250ms
        timeout: 1s
        failures_to_trigger: 2
        http:
          url: http://127.0.0.1:{shop_port}/health
          expect_body: '"ok"'
  - name: linker
    checks:
      - name: linker-log
        service: loader
        severity: info
        log:
          path: {directory}/linker.log
          from_start: true
          patterns:
            - contains: "binding file"
              severity: minor
            - contains: "calling init"
              severity: minor
            - severity: info
policy:
  services:
    shop: {{tier: 1, owner: shop-team}}
    loader: {{tier: 3, owner: platform}}
  rules:
    - name: shop-is-down
      match: {{services: [shop]}}
      severity: critical
      runbook: restart-shop
    - name: symbol-bindings
      match: {{services: [loader], summary_contains: ["binding file", "calling init"]}}
      severity: minor
      by: [service]
    - name: linker-chatter
      match: {{services: [loader]}}
      suppress: "the linker says every step it takes"
responders:
  runbooks:
    - name: restart-shop
      steps:
        - name: start
          command: [/usr/bin/python3, {shop}, start, --port, "{shop_port}", --directory, {directory}]
          timeout: 15s
      verify:
        http:
          url: http://127.0.0.1:{shop_port}/health
        attempts: 20
        interval: 250ms
"""


class Plan:
    """When the demo kills what: shares of the log that is streamed. The same for the same seed."""

    def __init__(self, seed):
        draw = random.Random(seed)
        self.shop_killed = draw.uniform(0.10, 0.20)
        self.worker = draw.choice(["triage-1", "triage-2"])
        self.worker_killed = draw.uniform(0.22, 0.45)
        self.worker_back = self.worker_killed + draw.uniform(0.03, 0.20)
        # The worker may still be away when the hub is killed.
        self.hub_killed = draw.uniform(self.worker_killed + 0.02, 0.70)
        self.hub_back = self.hub_killed + draw.uniform(0.02, 0.15)


class Demo:
    def __init__(self, processes, seed):
        self.processes = processes
        self.plan = Plan(seed)
        self.directory = processes.directory
        self.hub_port, self.shop_port = free_port(), free_port()
        self.configuration = os.path.join(self.directory, "tocsin.yaml")
        with open(self.configuration, "w") as file:
            file.write(CONFIGURATION.format(
                directory=self.directory, hub_port=self.hub_port, shop_port=self.shop_port, shop=SHOP))
        self.began = time.monotonic()
        # Written by the thread that streams the log, read by the main one.
        self.written = 0
        self.stream_failure = None
        self.stop_stream = threading.Event()
        # Milliseconds since 1970, when the service was killed.
        self.killed_at = 0
        self.last_state = "nothing"

    def tell(self, text):
        say(f"[{time.monotonic() - self.began:5.1f} s] {text}")

    # -- processes --------------------------------------------------------------------------------------------------

    def start(self, role, name=None):
        arguments = [TOCSIN, role, "--config", self.configuration]
        self.processes.start(name or role, arguments + (["--name", name] if name else []))

    def ask(self, *arguments):
        """What a client command says, as JSON; None if nobody can answer now."""
        done = subprocess.run(
            [TOCSIN, *arguments, "--config", self.configuration, "--output", "json"], cwd=self.directory,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def answer(self, *arguments):
        """The same where everybody is there to answer."""
        return until(lambda: self.ask(*arguments), f"an answer to `tocsin {' '.join(arguments)}`", 15)

    def start_everything(self):
        self.start("hub")
        until(lambda: self.ask("status"), "the hub's first answer", 15)
        self.start("archiver")
        self.start("responder", "responder-1")
        self.start("triage", "triage-1")
        self.start("triage", "triage-2")
        self.start("detector", "probe")
        self.start("detector", "linker")
        # Hub, and every peer but the client that asks.
        until(lambda: len([p for p in self.answer("status")["peers"] if p["role"] != "client"]) == 6, "six workers", 15)
        self.processes.check()

    # -- the log ----------------------------------------------------------------------------------------------------

    def make_log(self):
        """Real lines, made now: what the dynamic linker does while Python starts."""
        traced = subprocess.run(
            ["/usr/bin/python3", "-c", "import ssl, json, sqlite3"], env={**os.environ, "LD_DEBUG": "all"},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=30, check=True)
        lines = traced.stderr.splitlines(keepends=True)[:LINES]
        if len(lines) < 20_000:
            raise Failed(f"LD_DEBUG=all gave {len(lines)} lines, at least 20,000 are needed")
        return lines

    def stream(self, lines):
        """Appends the lines to the followed file at a steady pace, as a busy program would."""
        try:
            began = time.monotonic()
            with open(os.path.join(self.directory, "linker.log"), "ab", buffering=0) as file:
                while self.written < len(lines) and not self.stop_stream.wait(0.02):
                    due = min(len(lines), int((time.monotonic() - began) * LINES_PER_SECOND))
                    file.write(b"".join(lines[self.written:due]))
                    self.written = due
        except OSError as failure:
            self.stream_failure = failure

    def wait_for_lines(self, share, lines):
        until(lambda: self.written >= share * len(lines) or self.stream_failure, "the log stream", 60)
        if self.stream_failure:
            raise Failed(f"the log could not be written: {self.stream_failure}")

    # -- the service ------------------------------------------------------------------------------------------------

    def shop_answers(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.shop_port}/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def start_shop(self):
        subprocess.run(
            [SHOP, "start", "--port", str(self.shop_port), "--directory", self.directory], check=True, timeout=20,
            stdout=subprocess.DEVNULL)

    def kill_shop(self):
        """Also the one that the runbook started, which is nobody's child."""
        try:
            with open(os.path.join(self.directory, "shop.pid")) as file:
                pid = int(file.read())
            with open(f"/proc/{pid}/cmdline") as file:
                if self.directory in file.read():
                    os.kill(pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            pass

    # -- the story --------------------------------------------------------------------------------------------------

    def run(self):
        lines = self.make_log()
        self.tell(f"made a log of {len(lines):,} lines: LD_DEBUG=all of Python starting")
        self.start_shop()
        self.start_everything()
        self.tell("running: a web service, the hub, two detectors, two triage workers, a responder, the archiver")
        streaming = threading.Thread(target=self.stream, args=(lines,), daemon=True)
        streaming.start()
        try:
            for share, act in sorted(self.deeds(), key=lambda deed: deed[0]):
                self.wait_for_lines(share, lines)
                act()
            self.wait_for_lines(1, lines)
        finally:
            self.stop_stream.set()
            streaming.join(5)
        self.tell(f"{self.written:,} lines written; waiting until every event has its fate")
        try:
            incident = until(self.drained, "draining", 30)
        except Failed as failure:
            raise Failed(f"{failure}; last seen: {self.last_state}") from None
        self.processes.check()
        return self.judge(incident)

    def deeds(self):
        """What is done while the log streams, each with the share of the log at which it is done."""
        plan = self.plan

        def kill_shop():
            self.killed_at = int(time.time() * 1000)
            self.kill_shop()
            self.tell(f"killed the web service, at line {self.written:,}")

        def kill_worker():
            self.processes.kill(plan.worker)
            self.tell(f"kill -9 of {plan.worker}, at line {self.written:,}")

        def start_worker():
            self.start("triage", plan.worker)
            self.tell(f"{plan.worker} started again")

        def kill_hub():
            self.processes.kill("hub")
            self.tell(f"kill -9 of the hub, at line {self.written:,}")

        def start_hub():
            self.start("hub")
            self.tell("the hub started again on the same data")

        return [(plan.shop_killed, kill_shop), (plan.worker_killed, kill_worker), (plan.worker_back, start_worker),
                (plan.hub_killed, kill_hub), (plan.hub_back, start_hub)]

    def drained(self):
        """The shop's incident once it is resolved and nothing is under way any more."""
        status = self.ask("status")
        self.last_state = json.dumps(status)
        # No accounting: the archiver is on its way back to the hub.
        if not status or not status["accounting"]:
            return None
        pools = {pool["name"]: pool for pool in status["pools"]}
        waiting = sum(pool["queued"] + pool["delayed"] + pool["in_flight"] for pool in pools.values())
        if pools["triage"]["matched"] < self.written or waiting or status["accounting"]["outbox"]:
            return None
        listed = self.ask("list", "--all")
        for incident in listed["incidents"] if listed else []:
            if "shop" in incident["services"] and incident["state"] in ("resolved", "closed"):
                return incident
        return None

    def judge(self, incident):
        """The summary, and the sentences about what is wrong."""
        wrong = []
        status = self.answer("status")
        accounting = status["accounting"]
        pools = {pool["name"]: pool for pool in status["pools"]}
        accepted = pools["triage"]["matched"]
        dead = sum(pool["dead"] for pool in pools.values())
        handled, suppressed = accounting["handled"], accounting["suppressed"]
        # Each line of the log is one event; the rest are the probe's, a few.
        if not self.written < accepted < self.written + 100:
            wrong.append(f"{self.written} lines were written and {accepted} events accepted")
        doubled = accounting["applied"] - handled - suppressed
        for listed in self.answer("list", "--all")["incidents"]:
            shown = self.answer("show", str(listed["number"]))
            entries = collections.Counter(
                (e["time"], e["actor"], e["verb"], e["text"]) for e in shown["timeline"] if e["verb"] != "updated")
            doubled += sum(entries.values()) - len(entries)
            runs = sum(e["verb"] == "runbook-started" for e in shown["timeline"])
            doubled += max(0, runs - 1)
        with open(os.path.join(self.directory, "starts.log")) as file:
            starts = file.read().splitlines()
        # One start by this script, one by the runbook.
        doubled += max(0, len(starts) - 2)
        if not self.shop_answers():
            wrong.append("the web service does not answer")
        if incident["state"] not in ("resolved", "closed"):
            wrong.append(f"the incident is {incident['state']}")
        summary = {
            "accepted": accepted, "handled": handled, "suppressed": suppressed, "dead_lettered": dead,
            "missing": accepted - handled - suppressed - dead, "doubled": doubled,
            "detected_ms": incident["detected_at"] - self.killed_at,
            "resolved_ms": incident["resolved_at"] - self.killed_at,
        }
        if summary["missing"]:
            wrong.append(f"{summary['missing']} events are missing")
        if doubled:
            wrong.append(f"{doubled} effects are doubled")
        timeline = subprocess.run(
            [TOCSIN, "show", str(incident["number"]), "--config", self.configuration], cwd=self.directory,
            stdout=subprocess.PIPE, text=True, timeout=30, check=True).stdout
        return summary, timeline, wrong


def main():
    parser = argparse.ArgumentParser(
        prog="tools/demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="only the summary on standard output")
    parser.add_argument("--keep", action="store_true", help="keep logs and data, and say where")
    parser.add_argument("--seed", type=int, help="of when what is killed; without it another one each time")
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    with workplace("tocsin-demo", keep=options.keep) as processes:
        demo = Demo(processes, seed)
        demo.tell(f"seed {seed}: `tools/demo --seed {seed}` kills at the same places")
        try:
            summary, timeline, wrong = demo.run()
        finally:
            demo.kill_shop()
        demo.tell("done")
        if wrong:
            raise Failed("; ".join(wrong) + "\n" + json.dumps(summary))
    if options.json:
        say(timeline)
        print(json.dumps(summary, separators=(",", ":")))
        return
    print(timeline)
    print(f"detected {summary['detected_ms']:,} ms after the service was killed, resolved after {summary['resolved_ms']:,} ms")
    for name in ("accepted", "handled", "suppressed", "dead_lettered", "missing", "doubled"):
        print(f"{name:<14} {summary[name]:>8,}")


try:
    main()
except (Failed, subprocess.SubprocessError) as failure:
    sys.exit(f"tools/demo: {failure}")
