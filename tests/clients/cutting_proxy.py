"""A TCP proxy between Kafka clients and a broker that breaks connections, and the broker, at the worst moments.

It reads requests and answers frame by frame and does one of these to some of the Produce requests:

| cut | what happens |
|---|---|
| `before` | the connection breaks, the broker has not seen the request |
| `inside` | the broker gets half of the request |
| `after` | the broker has answered the request, the client does not get the answer |
| `answer` | the client gets half of the answer |
| `kill` | like `after`, and the broker is killed before the client may come back |
| `stop` | like `after`, and the broker is stopped in good order before the client may come back |

`begin` takes a script of cuts, and those that may come by chance after it. One Produce request at a time gets the first one that is left, and it stays first until it has been done: a
client that sends a batch again until it is acknowledged cannot come past any of them. All other bytes pass as they are. One thread per direction and connection; everything stays on loopback.
"""

import collections
import random
import socket
import struct
import threading
import time

PRODUCE = 0
RESTARTS = ("kill", "stop")


class CuttingProxy:
    """Listens on `ports` and passes connections on to `targets`, port by port. `restart("kill" | "stop")` ends the broker and starts it again."""

    def __init__(self, ports, targets, seed, restart):
        self.random = random.Random(seed)
        self.restart = restart
        self.share_cut = 0.2
        self.delay_seconds_max = 0.05
        self.lock = threading.Lock()
        self.begin((), ())
        self.is_cutting = False
        self.listeners = [socket.create_server(("127.0.0.1", port)) for port in ports]
        for listener, target in zip(self.listeners, targets):
            threading.Thread(target=self._accept, args=(listener, target), daemon=True).start()

    def close(self):
        for listener in self.listeners:
            listener.close()

    def begin(self, script, by_chance):
        """Cuts from now on."""
        with self.lock:
            self.by_chance = by_chance
            self.script = collections.deque(script)
            self.is_under_way = False  # the script's first cut has its request
            self.done = collections.Counter()
            self.failure = None  # of a restart
            self.is_cutting = True

    def end(self):
        """Cuts no more; returns how often each cut was done, and what is left of the script."""
        with self.lock:
            self.is_cutting = False
            return self.done, list(self.script)

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
        """What is to happen to a Produce request, and whether that is the script's; `None`: nothing."""
        with self.lock:
            delay = self.random.random() * self.delay_seconds_max
            chosen = None, False
            if self.is_cutting and self.script:
                if not self.is_under_way:
                    self.is_under_way = True
                    chosen = self.script[0], True
            elif self.is_cutting and self.random.random() < self.share_cut:
                chosen = self.random.choice(self.by_chance), False
        time.sleep(delay)
        return chosen

    def is_over(self, cut, is_scripted, is_done):
        """A chosen cut was done, or its connection broke for another reason before."""
        if is_done and cut in RESTARTS:
            try:
                self.restart(cut)
            except Exception as failure:  # told when the client's turn is over
                self.failure = failure
        with self.lock:
            if is_done:
                self.done[cut] += 1
            if is_scripted:
                self.is_under_way = False
                if is_done:
                    self.script.popleft()


class Link:
    """One connection of a client, and the one behind it. Once a cut is chosen no further request passes."""

    def __init__(self, proxy, client, broker):
        self.proxy, self.client, self.broker = proxy, client, broker
        self.cut, self.is_scripted, self.is_done = None, False, False
        self.correlation_id = None  # of the request that is cut
        self.lock = threading.Lock()
        self.running = 2
        for work in (self._requests, self._answers):
            threading.Thread(target=self._until_broken, args=(work,), daemon=True).start()

    def _until_broken(self, work):
        try:
            work()
        except OSError:
            pass
        with self.lock:
            self.running -= 1
            is_last = self.running == 0
        if not is_last:
            # The other direction ends by itself; the client may only come back when the cut is over.
            _shut(self.broker)
            if self.cut is None:
                _shut(self.client)
            else:
                _shut(self.client, socket.SHUT_RD)
            return
        if self.cut is not None:
            self.proxy.is_over(self.cut, self.is_scripted, self.is_done)
        for one in (self.client, self.broker):
            _shut(one)
            one.close()

    def _requests(self):
        while frame := _frame(self.client):
            key, _, correlation_id = struct.unpack_from(">hhi", frame, 4)
            cut, is_scripted = self.proxy.choose() if key == PRODUCE else (None, False)
            if cut is None:
                self.broker.sendall(frame)
                continue
            self.correlation_id = correlation_id
            self.cut, self.is_scripted = cut, is_scripted
            if cut == "before":
                self.is_done = True
            elif cut == "inside":
                self.broker.sendall(frame[: len(frame) // 2])
                self.is_done = True
            else:
                self.broker.sendall(frame)
                self._wait_for_the_answer()
            return

    def _wait_for_the_answer(self):
        """The other thread reads it, and breaks both connections then."""
        while self.client.recv(1 << 16):
            pass

    def _answers(self):
        while frame := _frame(self.broker):
            if self.correlation_id == struct.unpack_from(">i", frame, 4)[0]:
                self.is_done = True
                if self.cut == "answer":
                    self.client.sendall(frame[: len(frame) // 2])
                return
            self.client.sendall(frame)


def _shut(connection, how=socket.SHUT_RDWR):
    try:
        connection.shutdown(how)
    except OSError:
        pass


def _frame(connection):
    """A request or an answer with its length; empty if the connection ended."""
    head = _read(connection, 4)
    return head and head + _read(connection, struct.unpack(">i", head)[0])


def _read(connection, length):
    """Exactly `length` bytes; empty if the connection ended."""
    parts = b""
    while len(parts) < length:
        part = connection.recv(length - len(parts))
        if not part:
            return b""
        parts += part
    return parts
