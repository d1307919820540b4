"""Servers on several machines behind nginx: one is cut off, with every role it led and every client it had."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from telemetry.tasks import end
from tests.support.directories import reachable_directory
from tests.support.lan import Machine, lan, require_namespaces
from tests.support.machines import Machines, Reader, databases
from tests.support.nginx import nginx, require_nginx
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

ROLES_MOVE_WITHIN = 8.0
"""Seconds: 3 until PostgreSQL ends the silent session, 1 until the next candidate asks; docs/deploy.md says 5."""
STEPS_DOWN_WITHIN = 8.0
"""A ping a second, given up after 3."""
CLIENTS_MOVE_WITHIN = 15.0
"""3 of silence, 2 in which nginx tries the machine that is gone, all of it twice; and tests run on slow machines."""
READERS = 6
"""Of each kind."""


@pytest.fixture
async def machines(tmp_path: Path) -> AsyncIterator[Machines]:
    """Two machines, of which the first leads; clients are everywhere."""
    require_nginx()
    require_namespaces()
    async with AsyncExitStack() as stack:
        network = stack.enter_context(lan(2))
        directory = stack.enter_context(reachable_directory())
        at, engine, redis = await stack.enter_async_context(databases(network, directory))
        servers: list[ServerProcess] = []
        made = Machines(network, servers, [], engine, redis)
        for machine in network.machines:
            environment = {
                **at,
                "HOST": machine.address,
                "PORT": "8000",
                "STATE_DIR": str(directory / machine.name),
                "TRUSTED_PROXIES": network.here,
                "HEARTBEAT": "1",
                "BOOKMARK_EVERY": "1",
                "VIEW_REFRESH": "2",
                "MAX_CONNECTS_PER_MINUTE": "10000",
            }
            server = ServerProcess("serve", environment=environment, within=machine.within)
            stack.push_async_callback(_end, server, machine)
            servers.append(await server.start())
            await wait_until(lambda: made.led_by(network.machines[0]), description="the first leads in everything")
        proxy = await stack.enter_async_context(
            nginx(
                tmp_path, *(f"{machine.address}:8000" for machine in network.machines),
                changed={"proxy_read_timeout  35s": "proxy_read_timeout 4s"},
            )
        )  # fmt: skip
        made.readers += [Reader(f"reader{k}", proxy, confirming=k % 2 == 0) for k in range(2 * READERS)]
        tasks = [asyncio.create_task(reader.run(), name=reader.user) for reader in made.readers]
        stack.push_async_callback(end, tasks)
        for reader in made.readers:
            await wait_until(lambda reader=reader: reader.connected, description="a reader is connected")  # type: ignore[misc]
        yield made


async def _end(server: ServerProcess, machine: Machine) -> None:
    with contextlib.suppress(AssertionError, ProcessLookupError):
        server.signal(signal.SIGCONT)
    await server.kill()
    print(f"{machine.name}:\n{server.output[-6_000:]}")  # noqa: T201 - pytest shows it when the test fails


async def test_roles_and_clients_move_when_the_leaders_machine_is_cut_off(machines: Machines) -> None:
    """Packets vanish: the other machine leads within seconds, clients go there and miss nothing; then it comes back."""
    (leader, successor), server = machines.lan.machines, machines.servers[0]
    await machines.publish("before")
    await machines.all_have_all()
    assert all([await machines.metric(one, "sse_connections_active") > 0 for one in machines.servers])

    await machines.publish("in the last moment")
    leader.unplug()
    cut = time.monotonic()
    moved = await machines.move_to(successor, within=ROLES_MOVE_WITHIN)
    await machines.all_have_all(within=CLIENTS_MOVE_WITHIN)
    print(f"roles moved after {moved:.1f} s, clients had everything after {time.monotonic() - cut:.1f} s")  # noqa: T201
    await wait_until(
        lambda: "no longer leading: sequencer" in server.output,
        description="the machine that is cut off steps down by itself",
        within=STEPS_DOWN_WITHIN,
    )

    leader.plug()
    await machines.publish("after")
    await machines.all_have_all()
    await machines.assert_log_is_whole()
    await machines.assert_accounted_for()
    assert await machines.metric(server, "sequencer_leading") == 0
    assert set((await machines.roles()).values()) == {successor.address}


async def test_a_leader_that_wakes_up_beside_its_successor_does_no_harm(machines: Machines) -> None:
    """Frozen and cut off, it still believes to lead when it is back: the log stays whole, and it steps down."""
    (leader, successor), server = machines.lan.machines, machines.servers[0]
    await machines.publish("before")
    server.signal(signal.SIGSTOP)
    leader.unplug()
    await machines.move_to(successor, within=ROLES_MOVE_WITHIN)
    await machines.all_have_all(within=CLIENTS_MOVE_WITHIN)

    # The best chance to do harm: there is work, and nobody else does it. A leader may be silent for 3 s; this is one.
    machines.servers[1].signal(signal.SIGSTOP)
    await machines.publish("for the zombie", count=20)
    leader.plug()
    server.signal(signal.SIGCONT)
    with contextlib.suppress(AssertionError):
        await wait_until(machines.nothing_waits, description="the zombie gave places", within=1)
    machines.servers[1].signal(signal.SIGCONT)
    for batch in range(10):
        await machines.publish(f"both are awake {batch}", count=20)
    await wait_until(
        lambda: "no longer leading: sequencer" in server.output,
        description="the zombie steps down",
        within=STEPS_DOWN_WITHIN,
    )

    await machines.publish("after")
    await machines.all_have_all(within=30)
    await machines.assert_log_is_whole()
    await machines.assert_accounted_for()
    assert await machines.metric(server, "sequencer_leading") == 0
    assert set((await machines.roles()).values()) == {successor.address}
