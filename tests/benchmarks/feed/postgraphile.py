"""The peer in another language: PostGraphile 5 on the same database, from a folder where it was installed by npm."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from resolvers.database.engine import driver_url
from tests.benchmarks.installing import PeerMissing, install_npm
from tests.support.server import REPOSITORY

FEED = """query ($user: String!) {
  allActivities(first: 20, orderBy: [CREATED_AT_DESC, ROW_ID_DESC]) { nodes {
    rowId type title summary url occurredAt createdAt
    mpByMpId { rowId name party riding } billByBillId { rowId number title }
    userActivityReadsByActivityId(condition: {userId: $user}) { totalCount }
  } }
}"""

DIRECTORY = Path(__file__).parent.parent / "peers" / "postgraphile_server"
OLDEST_NODE = 22


async def installed() -> Path:
    """Where PostGraphile is, installed by npm if it was not. Raises PeerMissing.

    It needs Node 22: where the machine has an older one, Node comes from the wheel that builds the explorer elsewhere.
    """
    if await _node() < OLDEST_NODE:
        scripts = Path(sys.executable).parent
        os.environ["PATH"] = f"{scripts}:{os.environ['PATH']}"
        if await _node() < OLDEST_NODE:
            lock = REPOSITORY / "requirements-node.lock"
            command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
            process = await asyncio.create_subprocess_exec(*command, "-r", str(lock))
            if await process.wait() != 0:
                raise PeerMissing(f"node {OLDEST_NODE} or newer is missing, and its wheel could not be installed")
    await install_npm(DIRECTORY)
    return DIRECTORY


async def _node() -> int:
    """The major version of Node on the path; 0 without one."""
    node = shutil.which("node")
    if node is None:
        return 0
    process = await asyncio.create_subprocess_exec(node, "--version", stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    return int(told.decode().lstrip("v").split(".")[0])


@asynccontextmanager
async def postgraphile(folder: Path, database_url: str, port: int) -> AsyncIterator[str]:
    """Serve; in production mode, with a pool of 10. Raises RuntimeError if it ends before it answers."""
    process = await asyncio.create_subprocess_exec(
        *(str(folder / "node_modules" / ".bin" / "postgraphile"), "-P", "postgraphile/presets/amber"),
        *("-c", driver_url(database_url), "-s", "public", "-n", "127.0.0.1", "-p", str(port)),
        cwd=folder,
        env={**os.environ, "NODE_ENV": "production", "GRAPHILE_ENV": "production"},
        start_new_session=True,
    )
    try:
        while True:
            if process.returncode is not None:
                raise RuntimeError("PostGraphile ended before it answered")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}/graphql"
    finally:
        if process.returncode is None:
            # It waits for connections that are kept alive; all it has is this run's.
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
