"""The peer in another language: PostGraphile 5 on the same database, from a folder where it was installed by npm."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from resolvers.database.engine import driver_url

FEED = """query ($user: String!) {
  allActivities(first: 20, orderBy: [CREATED_AT_DESC, ROW_ID_DESC]) { nodes {
    rowId type title summary url occurredAt createdAt
    mpByMpId { rowId name party riding } billByBillId { rowId number title }
    userActivityReadsByActivityId(condition: {userId: $user}) { totalCount }
  } }
}"""


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
