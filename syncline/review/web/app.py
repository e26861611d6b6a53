"""The app: its pages, its API, and the gate before both."""

from __future__ import annotations

import asyncio
import mimetypes
import re
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse
from starlette.exceptions import HTTPException as StarletteError

from syncline import __version__
from syncline.errors import InputError, LeaseHeld, SynclineError, Unreachable
from syncline.log import redacted
from syncline.review.web import (
    api,
    audit,
    bulk,
    conflicts,
    decide,
    letters,
    overview,
    render,
    rules,
    runs,
)
from syncline.review.web.answers import Answers
from syncline.review.web.desk import Desk, TheDesk, common
from syncline.review.web.feed import Feed
from syncline.review.web.gate import Gate
from syncline.review.web.sent import FAILURES, wants_page
from syncline.review.web.writer import Writer
from syncline.store import Store
from syncline.webhooks.router import PREFIX, hooks_router

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from syncline.project import Project
    from syncline.review.web.access import Access

_DESCRIPTION = """\
The powers of the review app and of `syncline conflicts`. Sign in with the session's cookie, or with
`Authorization: Bearer TOKEN` where the server was started with one. Values of masked fields are
never given. An error is `{"error": .., "hint": ..}`. The app's own pages use these addresses and no
other: to a form, or to htmx, what says `text/html` below is answered with a page or part of one."""


_MISSING = re.compile(r"there is no (conflict|dead letter|run|mapping) ")


def make_app(
    project: Project,
    access: Access,
    *,
    hosts: Collection[str] = ("127.0.0.1", "localhost", "::1"),
    write_after: float = 10.0,
) -> ASGIApp:
    """The app on a project, behind its gate.

    Decisions are written `write_after` seconds after the last one of a mapping.
    """
    store = Store.open(project.store_url)
    feed = Feed(store)
    writer = Writer(project, write_after, feed.hurry)
    desk = Desk(project, store, access, writer, feed)

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncGenerator[None]:
        writer.start()
        for name in desk.names:  # what was decided when the last server ended
            if store.counts(name).decided:
                writer.now(name)
        yield
        await feed.close()
        await asyncio.to_thread(writer.stop)
        store.close()

    app = FastAPI(
        title="syncline",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,  # FastAPI's own page takes its scripts from a CDN
        redoc_url=None,
        lifespan=life,
        responses=FAILURES,
    )
    app.state.desk = desk
    for part in (overview, conflicts, rules, letters, runs, audit):
        app.include_router(part.router, include_in_schema=False)
    for router in (api.router, decide.router, bulk.router, rules.api, letters.api):
        app.include_router(router)
    app.include_router(hooks_router(project, store))
    _doors(app)
    _failures(app)
    app.add_middleware(Answers)
    return Gate(app, access, hosts)


def _doors(app: FastAPI) -> None:
    """What is neither a page nor a conflict's: sign-in and -out, static files."""

    @app.get("/login", include_in_schema=False)
    def login(request: Request, desk: TheDesk, token: str = "", to: str = "/") -> Response:
        # A browser that loads a page ahead of its user must not use the link up.
        if "prefetch" in request.headers.get("sec-purpose", ""):
            return PlainTextResponse("not ahead of time\n", 503)
        session = desk.access.exchange(token)
        if session is None:
            return render.page("signin.html", status=401, again=False)
        answer = RedirectResponse(_inside(to), 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(
            desk.access.cookie, session, httponly=True, samesite="strict", secure=secure
        )
        return answer

    @app.post("/logout", tags=["session"], status_code=303)
    def logout(request: Request, desk: TheDesk) -> Response:
        """Sign out: the session ends, and its cookie is worth nothing."""
        desk.access.end(request.headers)
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(desk.access.cookie, httponly=True, samesite="strict")
        return answer

    @app.get("/static/{name:path}", include_in_schema=False)
    def static(name: str) -> Response:
        path = (render.STATIC / name).resolve()
        if not path.is_relative_to(render.STATIC) or not path.is_file():
            raise HTTPException(404, "there is no such file")
        return FileResponse(path, media_type=mimetypes.guess_type(name)[0])


def _inside(path: str) -> str:
    """A page of ours; never another host's, as two slashes (of either kind) would lead to."""
    return path if path.startswith("/") and path[1:2] not in {"/", "\\"} else "/"


def _failures(app: FastAPI) -> None:
    """Errors as a person, a page's script or a program wants them."""

    @app.exception_handler(SynclineError)
    async def known(request: Request, error: SynclineError) -> Response:
        return _told(request, _status(error), str(error), error.hint)

    @app.exception_handler(StarletteError)
    async def http(request: Request, error: StarletteError) -> Response:
        answer = _told(request, error.status_code, str(error.detail), "")
        answer.headers.update(error.headers or {})  # of 405, which methods there are
        return answer

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        found = [f"{_where(one['loc'])}: {one['msg']}" for one in error.errors()]
        return _told(request, 422, "; ".join(found), "")

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> Response:
        return _told(
            request, 500, f"{type(error).__name__}", "the server's log says where it happened"
        )

    _ = (known, http, invalid, unknown)


def _where(place: Sequence[int | str]) -> str:
    """The field by its path; `body` where it is all that was sent."""
    return ".".join(map(str, place[1:] or place))


def _status(error: SynclineError) -> int:
    from syncline.errors import DecisionRefused

    if isinstance(error, DecisionRefused | LeaseHeld):
        return 409
    if isinstance(error, Unreachable):
        return 503
    if isinstance(error, InputError):
        return 404 if _MISSING.match(str(error)) else 422
    return 500


def _told(request: Request, status: int, message: str, hint: str) -> Response:
    from fastapi.responses import JSONResponse

    message, hint = redacted(message), redacted(hint)
    if request.url.path.startswith(("/api/", PREFIX + "/")) and not wants_page(request):
        return JSONResponse({"error": message, "hint": hint}, status)
    if request.headers.get("hx-request") or not hasattr(request.state, "user"):
        return PlainTextResponse(f"{message}\n{hint}".strip() + "\n", status)
    desk: Desk = request.app.state.desk
    title = {404: "Not found", 409: "Not any more", 422: "That did not fit"}.get(
        status, "Something went wrong"
    )
    context: dict[str, Any] = common(request, desk, title=title, message=message, hint=hint)
    return render.page("error.html", status=status, **context)
