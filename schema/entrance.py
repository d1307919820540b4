"""The way in to `/graphql`: a token that counts, a rate that is kept, a place for a stream; then the demo's faults."""

from collections.abc import Callable
from dataclasses import replace

from starlette.requests import Request

from resolvers.identity import Viewer
from schema.admission import Admission
from schema.authentication import Authentication
from schema.chaos import Chaos
from schema.throttle import Throttle


class Entrance:
    """`chaos` meets whoever ordered it: refused streams, and a token that was made to expire."""

    def __init__(
        self, *, authentication: Authentication, throttle: Throttle, admission: Admission, chaos: Chaos | None
    ) -> None:
        self._authentication = replace(authentication, read=self._read) if chaos else authentication
        self._trusted = authentication.read
        self._throttle = throttle
        self._admission = admission
        self._chaos = chaos

    async def authenticate(self, request: Request) -> Viewer:
        """The viewer. Raises HttpRefusal."""
        viewer = await self._authentication(request)
        self._throttle.operation(request, viewer)
        return viewer

    async def admit(self, request: Request, viewer: Viewer) -> Callable[[], None]:
        """Let a stream in; returns what gives its place back. Raises HttpRefusal."""
        self._throttle.connect(request)
        if self._chaos is not None:
            self._chaos.check_stream(viewer)
        return await self._admission.admit(viewer)

    async def _read(self, token: str) -> Viewer:
        if self._chaos is not None:
            self._chaos.check_token(token)
        return await self._trusted(token)
