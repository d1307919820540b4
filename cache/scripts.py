"""What this floor needs of Redis: scripts. `app.py` hands them in, from the floor beside, which knows the client."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

LUA = Path(__file__).parent / "lua"


class Script(Protocol):
    """A Lua script that the server knows, or is told."""

    async def __call__(self, *, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:  # noqa: ANN401 - Lua's
        """Run it. Raises the client's own error when Redis does not answer; it may then have run all the same."""
        ...


Load = Callable[[str], Script]
"""The script of that name in LUA."""
