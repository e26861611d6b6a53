"""What a connection to PostgreSQL is asked for: TLS by the host, and never a password in sight."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from syncline.endpoints.postgres_session import Tls, is_local, parameters


def asked(url: str, tls: Tls = "verify") -> dict[str, object]:
    return dict(conninfo_to_dict(parameters(url, 10, tls)[0].text))


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("", True),
        ("/run/pg", True),
        ("db.example.org", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
        ("127.0.0.1,10.0.0.1", False),
    ],
)
def test_only_this_machine_is_local(host: str, local: bool) -> None:
    """Loopback and sockets are this machine; a name that merely begins so is not."""
    assert is_local(host) is local


def test_tls_is_verified_unless_said_otherwise() -> None:
    """A remote host is verified in full; loopback is not asked for TLS; the URL has its say."""
    remote = asked("postgresql://u:p@db.example.org/x")
    assert remote["sslmode"] == "verify-full"
    assert remote["sslrootcert"]
    assert asked("postgresql://u@localhost/x")["sslmode"] == "disable"
    assert asked("postgresql://u@db.example.org/x", "require")["sslmode"] == "require"
    assert asked("postgresql://u@db.example.org/x", "off")["sslmode"] == "disable"
    assert asked("postgresql://u@db.example.org/x?sslmode=require")["sslmode"] == "require"
    assert asked("postgresql://u@db.example.org/x?sslrootcert=/ca.pem")["sslrootcert"] == "/ca.pem"


def test_a_session_says_who_it_is_and_notices_a_dead_server() -> None:
    """The server sees `syncline`; connecting ends in time, and a silent network is noticed."""
    settings = asked("postgresql://u@localhost/x")
    assert settings["application_name"] == "syncline"
    assert str(settings["connect_timeout"]) == "10"
    assert str(settings["keepalives_idle"]) == "30"


def test_the_password_is_not_shown() -> None:
    """Neither the parameters' repr nor the name for messages has it."""
    shown, where = parameters("postgresql://u:canary@db.example.org/x", 10, "verify")
    assert "canary" not in repr(shown) + where
    assert where == "db.example.org:5432/x"
