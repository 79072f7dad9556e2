"""A ZMTP peer of the hostile tools that is no library's: it can stop anywhere and say anything."""

import socket
import struct
import time

from tocsin import Kind, wire
from tocsin.v1 import broker_pb2 as pb


class Raw:
    """A ZMTP 3.0 connection on a bare TCP socket, which sends what it is told and reads only when it is told."""

    GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)

    def __init__(self, port, handshake=True, identity=b"", receive_buffer=0):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", port))
        self.buffer = b""
        if handshake:
            self.socket.sendall(self.GREETING)
            self.read(64)
            properties = [(b"Socket-Type", b"DEALER"), (b"Identity", identity)]
            body = b"\x05READY" + b"".join(
                bytes([len(name)]) + name + struct.pack(">I", len(value)) + value for name, value in properties)
            self.socket.sendall(b"\x04" + bytes([len(body)]) + body)
            self.frame()

    def read(self, count):
        while len(self.buffer) < count:
            more = self.socket.recv(1 << 16)
            if not more:
                raise EOFError("the hub closed the connection")
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def frame(self):
        """(flags, bytes)"""
        flags = self.read(1)[0]
        size = struct.unpack(">Q", self.read(8))[0] if flags & 2 else self.read(1)[0]
        return flags, self.read(size)

    def message(self):
        """The frames of the next message, heartbeats of ZMTP left out."""
        frames = []
        while True:
            flags, body = self.frame()
            if flags & 4:
                continue
            frames.append(body)
            if not flags & 1:
                return frames

    @staticmethod
    def encoded(frames):
        out = []
        for position, body in enumerate(frames):
            more = 1 if position + 1 < len(frames) else 0
            if len(body) > 255:
                out.append(bytes([more | 2]) + struct.pack(">Q", len(body)) + body)
            else:
                out.append(bytes([more, len(body)]) + body)
        return b"".join(out)

    def send(self, *frames):
        self.socket.sendall(self.encoded(frames))

    def hello(self, name):
        self.send(wire.header(Kind.HELLO), pb.Hello(name=name).SerializeToString())
        while self.message()[0][5] != Kind.WELCOME:
            pass

    def is_closed(self, timeout):
        """Whether the hub closes the connection within so many seconds; what it sends is dropped."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                if not self.socket.recv(1 << 16):
                    return True
            except TimeoutError:
                return False
            except ConnectionError:
                return True
        return False

    def close(self):
        self.socket.close()
