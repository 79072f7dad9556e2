#!/usr/bin/python3
"""The web service of tools/demo: a real HTTP server that can be killed, and the command that starts it again.

    shop.py start --port 8080 --directory DIR     in the background; returns when it answers
    shop.py serve --port 8080 --directory DIR     in the foreground

DIR/shop.pid holds its process id; DIR/starts.log gets one line for each `start`, with the incident that caused it, if a
runbook did. The server ends by itself after ten minutes, so that a demo that was killed leaves nothing behind for long.
"""

import argparse
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request

LIFETIME_S = 600


class Shop(http.server.BaseHTTPRequestHandler):
    began = time.time()

    def do_GET(self):
        if self.path not in ("/", "/health"):
            self.send_error(404)
            return
        body = json.dumps({"status": "ok", "pid": os.getpid(), "uptime_s": round(time.time() - self.began, 1)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        pass


def serve(port, directory):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Shop)
    with open(os.path.join(directory, "shop.pid"), "w") as file:
        file.write(str(os.getpid()))
    lifetime = threading.Timer(LIFETIME_S, server.shutdown)
    lifetime.daemon = True
    lifetime.start()
    server.serve_forever()


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def start(port, directory):
    with open(os.path.join(directory, "starts.log"), "a") as file:
        file.write(f"{time.time():.3f} incident={os.environ.get('TOCSIN_INCIDENT', '-')}\n")
    if answers(port):
        print("the shop is up already")
        return
    with open(os.path.join(directory, "shop.log"), "ab") as log:
        process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "serve", "--port", str(port), "--directory", directory],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 10
    while not answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the shop did not start; see {directory}/shop.log")
        time.sleep(0.05)
    print(f"started, process {process.pid}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["start", "serve"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--directory", required=True)
    options = parser.parse_args()
    {"start": start, "serve": serve}[options.action](options.port, options.directory)


main()
