"""Who sends a request: the bearer of a token in the `Authorization` header or, where that is set up, in a cookie."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from starlette.requests import Request

from resolvers.errors import Forbidden, Unauthenticated, Unavailable
from resolvers.identity import Viewer, bearer
from schema.origins import CSRF_HEADER, is_ours
from schema.refusals import HttpRefusal

TRY_AGAIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Authentication:
    """`read` tells the viewer of a token; it raises Unauthenticated and Unavailable.

    `cookie` names the cookie that may stand in for the header, for a native EventSource, which cannot send headers;
    such a request must come from a page of this origin or of one of `origins`. `failed` is told the request whose token
    does not count, and may raise a refusal of its own.
    """

    read: Callable[[str], Awaitable[Viewer]]
    failed: Callable[[Request], None] = lambda _: None
    cookie: str | None = None
    origins: Sequence[str] = ()

    async def __call__(self, request: Request) -> Viewer:
        """The viewer. Raises HttpRefusal: 401, 403, or 503 while tokens cannot be checked."""
        try:
            viewer = await self.read(self._token(request))
        except Unauthenticated as error:
            self.failed(request)
            raise HttpRefusal(401, error.code, str(error)) from error
        except Unavailable as error:
            raise HttpRefusal(503, error.code, str(error), retry_after=TRY_AGAIN) from error
        if not viewer.scopes:
            raise HttpRefusal(403, Forbidden.code, "Your token carries none of the scopes read, publish and ops.")
        return viewer

    def _token(self, request: Request) -> str:
        authorization = request.headers.get("authorization")
        if authorization is None and self.cookie is not None and (token := request.cookies.get(self.cookie)):
            if not is_ours(request, self.origins):
                raise HttpRefusal(
                    403,
                    "CROSS_SITE",
                    "A cookie counts only from a page of this origin, or of one that this server allows:"
                    f" send the token in the Authorization header, or the header {CSRF_HEADER}.",
                )
            return bearer(f"Bearer {token}")
        return bearer(authorization)
