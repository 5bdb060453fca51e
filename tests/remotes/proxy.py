"""A TCP proxy on loopback that cuts its connections after so many bytes, as a failing network does."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close by a reset, so that neither end takes it for an end of file


class Proxy:
    """127.0.0.1:`port` leads to 127.0.0.1:`target`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.lock = threading.Lock()
        self.open: set[socket.socket] = set()
        self.left: dict[str, int] = {}  # bytes that may still pass, by direction; none named: all
        self.due: Callable[[], bool] = lambda: True
        self.is_cut = False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def cut_after(self, count: int, direction: str, due: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """All connections are reset once `count` bytes have passed `up` to the server or `down` from it and it is
        `due`, and all new ones at once, until the block ends."""
        with self.lock:
            self.left, self.due = {direction: count}, due
        try:
            yield
            assert self.is_cut, f"not cut: {-self.left[direction]} bytes more than {count} passed {direction}"
        finally:
            with self.lock:
                self.left, self.is_cut = {}, False

    def close(self) -> None:
        self.listener.close()
        self._reset_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.is_cut:
                self._reset(client)
                continue
            server = socket.create_connection(("127.0.0.1", self.target))
            with self.lock:
                self.open |= {client, server}
            for source, sink, direction in ((client, server, "up"), (server, client, "down")):
                threading.Thread(target=self._pump, args=(source, sink, direction), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                with self.lock:
                    if direction in self.left:
                        self.left[direction] -= len(data)
                        if self.left[direction] <= 0 and self.due():
                            self.is_cut = True
                            data = data[: len(data) // 2]
                sink.sendall(data)
                if self.is_cut:
                    self._reset_all()
                    return
            sink.shutdown(socket.SHUT_WR)

    def _reset_all(self) -> None:
        with self.lock:
            connections, self.open = self.open, set()
        for connection in connections:
            self._reset(connection)

    @staticmethod
    def _reset(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it
        connection.close()
