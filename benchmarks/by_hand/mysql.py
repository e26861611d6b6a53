"""A pymysql connection by URL."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import Cursor


def connect(cursor: type[Cursor] = Cursor) -> Connection[Any]:
    """Connect to the database of MARIADB_URL, times in UTC."""
    parts = urlsplit(os.environ["MARIADB_URL"])
    return pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=parts.path.strip("/"),
        init_command="SET time_zone = '+00:00'",
        cursorclass=cursor,
    )
