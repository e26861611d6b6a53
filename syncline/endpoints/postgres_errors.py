"""What PostgreSQL's errors mean here: each SQLSTATE becomes one of syncline's own errors."""

from __future__ import annotations

from typing import Any, Final, cast

from syncline.endpoints.bisect import RowsRefused
from syncline.errors import CredentialsRefused, InputError, RunFailed, Transient, Unreachable

_TRANSIENT: Final = {"40001", "40P01", "55P03"}
_DENIED: Final = {"42501", "25006"}
# Class 23 is a constraint's business (tried again later), but a NULL stays a NULL.
_CONSTRAINTS: Final = {"44000", "P0001"}
_GONE: Final = ("08", "57", "53", "25P03", "25P04")
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
    if writing and (refused := _refused(state, message)):
        return refused
    if state in _TRANSIENT:
        return Transient(message)
    if state.startswith("28") or state in _DENIED:
        return CredentialsRefused(message, hint="grant the role what the mapping needs")
    if state == "08P01":  # a value written in another type's binary form: ours, not the network's
        return RunFailed(message)
    if state == "53100" or state.startswith(("XX", "58")):
        return RunFailed(message)
    if state.startswith(_GONE):
        return Unreachable(message)
    if state.startswith(("42", "3D", "3F", "22", "0A")):
        return InputError(message)
    return RunFailed(message)


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
    if "does not exist" in message:
        return InputError(
            f"{where}: {message}", hint="check the database's name in the connection's URL"
        )
    return Unreachable(f"{where}: {message}")


def _refused(state: str, message: str) -> RowsRefused | None:
    # 54000: a value longer than an index entry can be.
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
