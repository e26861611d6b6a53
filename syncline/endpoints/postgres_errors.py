"""What PostgreSQL's errors mean here: each SQLSTATE becomes one of syncline's own errors."""

from __future__ import annotations

from typing import Any, Final, cast

from syncline.endpoints.bisect import RowsRefused
from syncline.errors import (
    CredentialsRefused,
    InputError,
    RunFailed,
    SynclineError,
    Transient,
    Unreachable,
)

# The first that a SQLSTATE begins with. 08P01 is a value written in another type's binary form:
# ours, not the network's; 53100 is a full disk; 55P03 a lock that could not be had in time.
_KINDS: Final[tuple[tuple[str, type[SynclineError]], ...]] = (
    ("40001", Transient),
    ("40P01", Transient),
    ("55P03", Transient),
    ("28", CredentialsRefused),
    ("42501", CredentialsRefused),
    ("25006", CredentialsRefused),
    ("08P01", RunFailed),
    ("53100", RunFailed),
    ("08", Unreachable),
    ("53", Unreachable),
    ("57", Unreachable),
    ("25P03", Unreachable),
    ("25P04", Unreachable),
    ("0A", InputError),
    ("22", InputError),
    ("3D", InputError),
    ("3F", InputError),
    ("42", InputError),
    ("", RunFailed),
)
# Besides class 23: WITH CHECK OPTION, and a trigger that raises.
_CONSTRAINTS: Final = {"44000", "P0001"}
_REFUSED_LOGIN: Final = (
    "authentication failed", "no password supplied", "no pg_hba.conf entry", 'role "',
    "is not permitted to log in", "permission denied for database",
)  # fmt: skip
_TLS: Final = ("certificate verify failed", "does not support SSL", "root certificate", "SSL error")


def translate(error: Exception, *, writing: bool = False) -> Exception:
    """The syncline error for a driver's error.

    With `writing`, errors about values and constraints become `RowsRefused`, for bisection; else
    they are the user's input (a bound of a window, say).
    """
    state: str = getattr(error, "sqlstate", None) or ""
    message = _message(error)
    if not state:
        return _without_state(error, message)
    refused = _refused(state, message) if writing else None
    return refused or next(kind for start, kind in _KINDS if state.startswith(start))(message)


def connect_error(error: Exception, where: str) -> Exception:
    """The syncline error for a refused connection, by its words: libpq gives no SQLSTATE."""
    message = _message(error).removeprefix("IO: [libpq] Failed to connect: ")
    if any(text in message for text in _TLS):
        return InputError(
            f"{where}: TLS could not be verified: {message}",
            hint="give sslrootcert= in the URL, or set `tls: require` or `tls: off`",
        )
    if any(text in message for text in _REFUSED_LOGIN):
        return CredentialsRefused(
            f"{where}: {message}", hint="check user and password of the connection's URL"
        )
    if "invalid connection option" in message:
        return InputError(
            f"{where}: {message}", hint="check the parameters of the connection's URL"
        )
    if "does not exist" in message:
        return InputError(
            f"{where}: {message}", hint="check the database's name in the connection's URL"
        )
    return Unreachable(f"{where}: {message}")


def _refused(state: str, message: str) -> RowsRefused | None:
    # 23502: a NULL stays a NULL, so it is no use to try again. 54000: longer than an index entry
    # can be.
    if state.startswith("22") or state in {"23502", "54000"}:
        return RowsRefused("value", message)
    if state.startswith("23") or state in _CONSTRAINTS:
        return RowsRefused("constraint", message)
    return None


def _without_state(error: Exception, message: str) -> Exception:
    import adbc_driver_manager as adbc

    status: Any = getattr(error, "status_code", None)
    if status == adbc.AdbcStatusCode.NOT_FOUND:
        return InputError(message)
    if status in {
        adbc.AdbcStatusCode.IO,
        adbc.AdbcStatusCode.CANCELLED,
        adbc.AdbcStatusCode.TIMEOUT,
    }:
        return Unreachable(message)
    return RunFailed(message)


def _message(error: Exception) -> str:
    """Message and detail only: the driver's own text repeats the whole query, values and all."""
    details = dict(cast("list[tuple[Any, Any]]", getattr(error, "details", None) or []))
    parts = [
        _text(details.get(name)) for name in ("PG_DIAG_MESSAGE_PRIMARY", "PG_DIAG_MESSAGE_DETAIL")
    ]
    parts += [
        _text(details.get(name.encode()))
        for name in ("PG_DIAG_MESSAGE_PRIMARY", "PG_DIAG_MESSAGE_DETAIL")
    ]
    told = ": ".join(part for part in parts if part)
    return told or " ".join(str(error).split("\nQuery was:")[0].split())


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
