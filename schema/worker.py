"""One of several server processes: uvicorn's `Process`, with a server of ours in it."""

import asyncio
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from uvicorn.supervisors.multiprocess import Process


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's number, from 0, the address it shares with the others, and the directory of their metrics."""

    number: int
    host: str
    port: int
    metrics: Path

    def listener(self) -> socket.socket:
        """A bound socket of this worker alone; the kernel spreads connections evenly over all that listen."""
        return bound(self.host, self.port)


Serve = Callable[[Place, Callable[[], None]], int]
"""Serves in the worker, tells when it is ready, returns the exit status. It is pickled on its way there."""


class ParentDied(Exception):
    """Nobody is there to look after this worker."""


async def until_parent_dies(place: Place) -> None:
    """A worker's background task. Raises ParentDied, which ends the worker in order; the directory is removed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        raise ParentDied("this process is nobody's worker")
    died = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(parent.sentinel, died.set)
    try:
        await died.wait()
    finally:
        loop.remove_reader(parent.sentinel)
    shutil.rmtree(place.metrics, ignore_errors=True)
    raise ParentDied("the parent of the workers has died")


class Worker(Process):
    """uvicorn's process, with a server of ours in it."""

    def __init__(self, serve: Serve, place: Place) -> None:
        self.place = place
        self.ready = False
        """In the worker: whether it serves. In the parent: whether it has said so."""
        self._serve = serve
        self.answered = False
        self._asked: float | None = None
        super().__init__(uvicorn.Config("", log_config=None), [])

    def target(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - uvicorn gives it
        """Run in the worker."""
        os.setsid()  # a terminal's Ctrl-C is for the parent, which then asks every worker once
        threading.Thread(target=self.always_pong, name="pong", daemon=True).start()
        sys.exit(self._serve(self.place, self._is_ready))

    def _is_ready(self) -> None:
        self.ready = True

    def pong(self) -> None:
        """Answer, in the worker, whether it serves."""
        self.child_conn.recv()
        self.child_conn.send(self.ready)

    def ask(self, now: float) -> float:
        """Ask, in the parent, without waiting; return for how many seconds an answer has been due."""
        if self._asked is not None and self.parent_conn.poll():
            self.ready = self.parent_conn.recv()
            self.answered = True
            self._asked = None
        if self._asked is None:
            self.parent_conn.send(b"ping")
            self._asked = now
        return now - self._asked

    def interrupt(self) -> None:
        """A second signal, at which uvicorn waits for nothing more."""
        if self.pid is not None and self.exitcode is None:
            os.kill(self.pid, signal.SIGINT)


def bound(host: str, port: int) -> socket.socket:
    """A socket that shares its port with others of this user, and does not listen yet. Raises OSError."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made
