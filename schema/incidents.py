"""Faults of ours: the log gets everything under an ID, the client gets the ID."""

import logging
import secrets

log = logging.getLogger("divisionbell.schema")

CODE = "INTERNAL"


def record(error: BaseException, *, during: str) -> str:
    """Log `error` with its traceback under a new ID, and return the ID."""
    incident = secrets.token_hex(8)
    log.error("internal error %s during %s", incident, during, exc_info=error, extra={"incident": incident})
    return incident


def message(incident: str) -> str:
    """What a client is told of a fault."""
    return f"Internal error. Report this ID: {incident}"


def extensions(incident: str) -> dict[str, str]:
    """The `extensions` of the error a client sees."""
    return {"code": CODE, "id": incident}
