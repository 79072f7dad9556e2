#!/usr/bin/python3
"""A hostile peer of tools/bench and tools/hostile: many TCP connections that stop half-way through ZMTP's greeting.

    tools/support/half_open.py PORT [COUNT [BYTES [RATE]]]

Keeps COUNT (10,000) connections open, each with the first BYTES (32) of a greeting sent, until it is ended: what the hub ends is
opened again, at most RATE (5,000) a second. Prints "open N" when as many are open as ever can be (a second without a new one),
and once a second what it has and how many were ended.
"""

import errno
import os
import resource
import select
import socket
import struct
import sys
import time

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


def main():
    port, count, size, rate = [int(text) for text in sys.argv[1:]] + [10_000, 32, 5_000][len(sys.argv) - 2:]
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    poller = select.epoll()
    peers = {}
    opened = ended = 0
    began = said = time.monotonic()
    announced = False
    while True:
        now = time.monotonic()
        # Evenly: a burst each time would be another attack.
        for _ in range(min(50, count - len(peers), int((now - began) * rate) - opened)):
            peer = socket.socket()
            peer.setblocking(False)
            # Ends at once: ports that wait would be used up before the hub is.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            status = peer.connect_ex(("127.0.0.1", port))
            opened += 1
            if status not in (0, errno.EINPROGRESS):
                peer.close()
                ended += 1
                continue
            peers[peer.fileno()] = peer
            poller.register(peer, select.EPOLLOUT)
        if opened < int((now - began) * rate) - 50:
            # Nothing is made up for.
            began, opened = now, 0
        for descriptor, events in poller.poll(0.002):
            peer = peers[descriptor]
            try:
                if events & select.EPOLLOUT:
                    peer.send(GREETING[:size])
                    poller.modify(descriptor, select.EPOLLIN)
                    continue
                if events & (select.EPOLLERR | select.EPOLLHUP) == 0 and peer.recv(4096):
                    continue
            except OSError:
                pass
            poller.unregister(descriptor)
            peers.pop(descriptor).close()
            ended += 1
        if not announced and len(peers) >= count:
            announced = True
            print(f"open {len(peers)}", flush=True)
        if now - said >= 1:
            said = now
            print(f"has {len(peers)}, {ended} were ended", flush=True)


main()
