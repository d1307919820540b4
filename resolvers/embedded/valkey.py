"""Valkey (or Redis) as a child process."""

import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from resolvers.embedded.binaries import find_redis
from resolvers.embedded.processes import Child, end_leftover, socket_directory


def start_valkey(
    data_root: Path, *, durable: bool, settings: Mapping[str, str] | None = None, sockets: Path | None = None
) -> Child:
    """Start Valkey on `data_root`/<engine><major>; return when it answers.

    `durable`: an append-only file, synced every second. `settings` are its own, such as `replicaof`. Reachable only
    over a socket in a private directory: a new one, or `sockets`, where one that was halted had its own. Call it from
    the main thread. Raises ServerMissing, StartFailed.
    """
    binary, engine = find_redis()
    # Named by engine and major: Redis 6 starts empty, without a word, on what Valkey 9 has written.
    data = data_root / engine
    data.mkdir(parents=True, exist_ok=True)
    pid_file = data / "server.pid"
    if pid_file.exists() and (pid := pid_file.read_text().strip()).isdigit():
        end_leftover(int(pid), "-server", signal.SIGTERM)
    sockets = sockets or socket_directory(data_root / "valkey.socket", None)
    path = sockets / "valkey.sock"
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(data),
        "save": "",
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        **(settings or {}),
    }
    child = Child(
        [str(binary), *(word for name, value in options.items() for word in (f"--{name}", *_words(name, value)))],
        log_path=data_root / "valkey.log",
        stop_signal=signal.SIGTERM,
        url=f"unix://{path}",
        sockets=sockets,
    )
    pid_file.write_text(str(child.pid))
    child.wait_until_ready(lambda: _answers(path))
    return child


def _words(name: str, value: str) -> list[str]:
    return value.split() if name == "replicaof" else [value]


def _answers(path: Path) -> bool:
    """Ask over a bare socket: a client library's retries would turn 50 ms into seconds."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
    except OSError:
        return False
