"""The server that is attacked."""

from tests.end_to_end.conftest import server, start_server

__all__ = ["server", "start_server"]
