"""A TCP proxy between Kafka clients and a broker that breaks connections at the worst moments.

It reads the clients' requests frame by frame and, while `is_cutting`, does one of these to some of the Produce requests:

| cut | what happens |
|---|---|
| `before` | the connection breaks, the broker has not seen the request |
| `inside` | the broker gets half of the request |
| `after` | the broker gets the whole request, the client no answer |
| `answer` | the client gets half of the answer |

All other bytes pass as they are. One thread per direction and connection; everything stays on loopback.
"""

import random
import socket
import struct
import threading
import time

PRODUCE = 0
CUTS = ("before", "inside", "after", "answer")


class CuttingProxy:
    """Listens on `ports` and passes connections on to `targets`, port by port."""

    def __init__(self, ports, targets, seed):
        self.random = random.Random(seed)
        self.is_cutting = False
        self.share_cut = 0.4
        self.delay_seconds_max = 0.1
        self.produce_seen = threading.Event()
        self.cuts = dict.fromkeys(CUTS, 0)
        self.lock = threading.Lock()
        self.listeners = [socket.create_server(("127.0.0.1", port)) for port in ports]
        for listener, target in zip(self.listeners, targets):
            threading.Thread(target=self._accept, args=(listener, target), daemon=True).start()

    def close(self):
        for listener in self.listeners:
            listener.close()

    def _accept(self, listener, target):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(("127.0.0.1", target), timeout=5)
            except OSError:
                client.close()
                continue
            broker.settimeout(None)
            Link(self, client, broker)

    def choose(self):
        """What is to happen to a Produce request; `None`: nothing."""
        with self.lock:
            self.produce_seen.set()
            time.sleep(self.random.random() * self.delay_seconds_max)
            if not self.is_cutting or self.random.random() > self.share_cut:
                return None
            cut = self.random.choice(CUTS)
            self.cuts[cut] += 1
            return cut


class Link:
    """One connection of a client, and the one behind it."""

    def __init__(self, proxy, client, broker):
        self.proxy, self.client, self.broker = proxy, client, broker
        self.answer_cut = threading.Event()
        for work in (self._requests, self._answers):
            threading.Thread(target=self._until_broken, args=(work,), daemon=True).start()

    def _until_broken(self, work):
        try:
            work()
        except OSError:
            pass
        for one in (self.client, self.broker):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _requests(self):
        while head := _read(self.client, 6):
            length, key = struct.unpack(">ih", head)
            body = _read(self.client, length - 2)
            cut = self.proxy.choose() if key == PRODUCE else None
            if cut == "before":
                return
            frame = head + body
            if cut == "inside":
                self.broker.sendall(frame[: len(frame) // 2])
                return
            if cut == "answer":
                self.answer_cut.set()
            if cut == "after":
                # The client is gone before the answer comes; the broker has the request all the same.
                self.client.shutdown(socket.SHUT_RDWR)
                self.broker.sendall(frame)
                self.broker.settimeout(1)
                self.broker.recv(1 << 16)
                return
            self.broker.sendall(frame)

    def _answers(self):
        while part := self.broker.recv(1 << 16):
            if self.answer_cut.is_set():
                self.client.sendall(part[: len(part) // 2])
                return
            self.client.sendall(part)


def _read(connection, length):
    """Exactly `length` bytes; empty if the connection ended."""
    parts = b""
    while len(parts) < length:
        part = connection.recv(length - len(parts))
        if not part:
            return b""
        parts += part
    return parts
