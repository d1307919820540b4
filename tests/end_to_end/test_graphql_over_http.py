"""GraphQL over HTTP, as graphql-http audits it."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.server import ServerProcess, token

AUDIT = Path(__file__).parents[2] / "client-example" / "audit" / "graphql-over-http.mjs"
AUDITS = 61


async def test_every_audit_is_passed(server: ServerProcess) -> None:
    """What the specification says must, should and may be, all 61."""
    node = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))  # from a wheel
    if node is None and not os.environ.get("CI"):
        pytest.skip("the audit needs Node")
    assert node is not None
    process = await asyncio.create_subprocess_exec(
        node,
        str(AUDIT),
        f"{server.url}/graphql",
        token("auditor"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    found, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()

    assert json.loads(found) == {"run": AUDITS, "failed": []}
