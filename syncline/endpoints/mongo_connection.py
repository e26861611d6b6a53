"""One MongoDB database, connected: the client, what its server can do, and its collections."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import InvalidURI, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri

from syncline.endpoints.mongo_errors import NO_SUCH_COMMAND, reporting
from syncline.errors import InputError

Tls = Literal["verify", "require", "off"]
"""`verify` where the host is another machine; `require` encrypts and does not check whom with."""
Document: TypeAlias = dict[str, Any]
Documents: TypeAlias = Collection[Document]

OPTIONS: Final[CodecOptions[Document]] = CodecOptions(
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    # Bytes that are no UTF-8 and dates past year 9999 become a misfit of their record; the
    # driver's defaults would raise for the whole batch.
    unicode_decode_error_handler="surrogateescape",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
RAW: Final[CodecOptions[RawBSONDocument]] = OPTIONS.with_options(document_class=RawBSONDocument)
_OWN: Final = "syncline_"
_MAX_DOCUMENT: Final = 16 << 20


def decoded(data: bytes) -> Document:
    """Give the document of its BSON."""
    return bson.decode(data, OPTIONS)  # pyright: ignore[reportUnknownMemberType]


class Connection:
    """The database of a `mongodb://` URL. Connects on first use; safe from any thread."""

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float,
        statement_timeout: float,
        tls: Tls,
        pool_size: int,
    ) -> None:
        try:
            self.name: str = parse_uri(url)["database"] or ""
        except (InvalidURI, PyMongoError, ValueError):
            # Not the driver's words: they may repeat the URL, password included.
            raise InputError("the connection's URL is no mongodb:// URL") from None
        if not self.name:
            raise InputError(
                "the connection's URL names no database", hint="mongodb://HOST/DATABASE"
            )
        self._seen: Timestamp | None = None
        self._seeing = threading.Lock()
        options: dict[str, Any] = dict(_tls_options(url, tls))
        if statement_timeout:
            # Not timeoutMS: the driver takes that for the time to find a server, too, and a server
            # that is down would be waited for as long as a statement may take.
            options["socketTimeoutMS"] = round(statement_timeout * 1000)
            options["waitQueueTimeoutMS"] = round(statement_timeout * 1000)
        with reporting():
            self.client: MongoClient[Document] = MongoClient(
                url,
                connect=False,
                appname="syncline",
                connectTimeoutMS=round(connect_timeout * 1000),
                serverSelectionTimeoutMS=round(connect_timeout * 1000),
                maxPoolSize=pool_size,
                **options,
            )

    def hello(self) -> Mapping[str, Any]:
        """Ask the server what it is and what time it has. `localTime` is aware, UTC."""
        admin = self.client.get_database("admin", codec_options=OPTIONS)
        try:
            return admin.command("hello", read_preference=ReadPreference.PRIMARY)
        except OperationFailure as error:
            if error.code != NO_SUCH_COMMAND:
                raise
        return admin.command("isMaster", read_preference=ReadPreference.PRIMARY)

    def now(self) -> datetime:
        """Give the server's clock, to the millisecond."""
        return self.clocks()[0]

    def clocks(self) -> tuple[datetime, datetime]:
        """Give the server's clock, and when the last write that a majority has was made.

        The two are one where there is no majority to speak of.
        """
        hello = self.hello()
        now: datetime = hello["localTime"]
        committed: datetime = hello.get("lastWrite", {}).get("majorityWriteDate", now)
        return _aware(now), _aware(committed)

    @cached_property
    def greeting(self) -> Mapping[str, Any]:
        """What the server said of itself when first asked."""
        with reporting():
            return self.hello()

    @cached_property
    def replicated(self) -> bool:
        """Whether it is a replica set or a cluster, so that a majority can be asked for."""
        return "setName" in self.greeting or self.greeting.get("msg") == "isdbgrid"

    @property
    def transactional(self) -> bool:
        """Whether transactions over several documents can be had."""
        return self.replicated and self.greeting.get("logicalSessionTimeoutMinutes") is not None

    @property
    def seen(self) -> Timestamp | None:
        """The latest time at which something was seen; None where nobody noted any."""
        return self._seen

    def saw(self, at: Timestamp | None) -> None:
        """Remember a time at which something was seen: `causal` reads are then not behind it."""
        with self._seeing:
            if at is not None and (self._seen is None or at > self._seen):
                self._seen = at

    @contextmanager
    def causal(self) -> Generator[ClientSession | None]:
        """Give a session whose reads, whoever answers, see all that was seen before.

        It is None until `saw` was told of something, and where the server has no sessions: one
        server alone is never behind itself.
        """
        if self._seen is None or self.greeting.get("logicalSessionTimeoutMinutes") is None:
            yield None
            return
        with self.client.start_session(causal_consistency=True) as session:
            session.advance_operation_time(self._seen)
            yield session
            self.saw(session.operation_time)

    @property
    def max_document(self) -> int:
        """The largest document that the server stores, in bytes."""
        return int(self.greeting.get("maxBsonObjectSize", _MAX_DOCUMENT))

    @cached_property
    def database(self) -> Database[Document]:
        """The database; reads and writes by majority where the server knows it."""
        return self.client.get_database(
            self.name,
            codec_options=OPTIONS,
            read_concern=ReadConcern("majority") if self.replicated else None,
            write_concern=WriteConcern("majority") if self.replicated else None,
        )

    def collection(self, name: str) -> Documents:
        """Give a collection, which need not be there."""
        return self.database.get_collection(name)

    def listed(self) -> dict[str, Mapping[str, Any]]:
        """Give what the catalogue says of each user collection and view."""
        with reporting():
            return {
                each["name"]: each
                for each in self.database.list_collections()
                if not each["name"].startswith(("system.", _OWN))
            }

    def close(self) -> None:
        """Give back every connection."""
        self.client.close()


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _tls_options(url: str, tls: Tls) -> Mapping[str, object]:
    if tls == "off":
        return {"tls": False}
    if tls == "require":
        return {"tls": True, "tlsAllowInvalidCertificates": True}
    told = urlsplit(url).query.lower()
    if "tls=" in told or "ssl=" in told or url.startswith("mongodb+srv:"):
        return {}  # what the URL itself says holds
    return {"tls": not all(_is_here(host) for host, _ in parse_uri(url)["nodelist"])}


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".sock"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
