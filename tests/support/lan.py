"""Machines for tests: network namespaces on a bridge, whose cables can be pulled."""

import contextlib
import ipaddress
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

OURS = "bell"
NAMED = re.compile(rf"{OURS}(\d+)[a-z]?")
"""Bridges and namespaces carry the process ID of their test, so that what a killed one left is found."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A network namespace: what runs in it is reached at `address` only, over its cable."""

    name: str
    address: str

    @property
    def within(self) -> list[str]:
        """What to put in front of a command that is to run there; the process keeps its ID."""
        return ["ip", "netns", "exec", self.name]

    def unplug(self) -> None:
        """Pull the cable: no reset, no goodbye; packets vanish both ways."""
        ip("link", "set", self.name, "down")

    def plug(self) -> None:
        """Put it back."""
        ip("link", "set", self.name, "up")


@dataclass(frozen=True, slots=True)
class Lan:
    """Machines, and what they share: this process' own network is at `here`, others of `network` are theirs."""

    here: str
    network: ipaddress.IPv4Network
    machines: list[Machine]


def ip(*arguments: str) -> str:
    """Run iproute2's `ip`. Raises CalledProcessError, with what it said."""
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def require_namespaces() -> None:
    """Skip the test where network namespaces cannot be made, saying what is missing; under CI, fail it."""
    reason = None
    if shutil.which("ip") is None:
        reason = "needs `ip`: apt-get install iproute2"
    elif os.geteuid() != 0:
        reason = "needs root, for network namespaces"
    else:
        try:
            with lan(1):
                pass
        except subprocess.CalledProcessError as error:
            reason = f"the kernel refuses network namespaces, veth or bridges: {error.cmd}: {error.stderr.strip()}"
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@contextmanager
def lan(count: int) -> Iterator[Lan]:
    """A bridge with `count` machines; all of it is gone afterwards. Raises CalledProcessError, FileNotFoundError."""
    _remove_leftovers()
    bridge = f"{OURS}{os.getpid()}"
    # Of the 16,384 networks of 10.192.0.0/10: two test processes rarely meet, and `ip` then refuses.
    high, low = 192 + secrets.randbelow(64), secrets.randbelow(256)
    network = ipaddress.IPv4Network(f"10.{high}.{low}.0/24")
    here, *others = (str(host) for _, host in zip(range(count + 1), network.hosts(), strict=False))
    with ExitStack() as stack:
        ip("link", "add", bridge, "type", "bridge")
        stack.callback(_quietly, "link", "del", bridge)
        ip("addr", "add", f"{here}/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        machines = [Machine(f"{bridge}{chr(ord('a') + k)}", address) for k, address in enumerate(others)]
        for machine in machines:
            ip("netns", "add", machine.name)
            stack.callback(_quietly, "netns", "del", machine.name)
            ip("link", "add", machine.name, "type", "veth", "peer", "name", "eth0", "netns", machine.name)
            # The kernel takes a namespace's devices away later, and the next test wants the name.
            stack.callback(_quietly, "link", "del", machine.name)
            ip("link", "set", machine.name, "master", bridge, "up")
            ip("-n", machine.name, "addr", "add", f"{machine.address}/24", "dev", "eth0")
            ip("-n", machine.name, "link", "set", "eth0", "up")
            ip("-n", machine.name, "link", "set", "lo", "up")
        yield Lan(here, network, machines)


def _remove_leftovers() -> None:
    for line in (*ip("netns", "list").splitlines(), *ip("-brief", "link", "show", "type", "bridge").splitlines()):
        name = line.split()[0]
        if (found := NAMED.fullmatch(name)) and not Path(f"/proc/{found[1]}").exists():
            _quietly(*(("netns",) if name[-1].isalpha() else ("link",)), "del", name)


def _quietly(*arguments: str) -> None:
    with contextlib.suppress(subprocess.CalledProcessError):
        ip(*arguments)
