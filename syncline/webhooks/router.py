"""Router: `POST /hooks/{mapping}`, to be included in a FastAPI app.

The signature is all that admits a caller: no login, no cookie. So it is no use to a page of another
site, and needs no check of its origin.
"""

# No `from __future__ import annotations` here: FastAPI reads the annotations as they stand.

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from syncline.errors import InputError, SynclineError
from syncline.log import redacted
from syncline.project import Project
from syncline.store import Store
from syncline.webhooks.receive import LARGEST_BODY, Answer, receive

PREFIX = "/hooks"
"""Where webhooks come in; nothing else is below it."""


def hooks_router(project: Project, store: Store) -> APIRouter:
    """The router of a project's webhooks, which are kept in its control store."""
    router = APIRouter(prefix=PREFIX, tags=["webhooks"])

    @router.post(
        "/{mapping}",
        summary="Start a run of a mapping",
        responses={
            200: {"description": "Known already; nothing is started."},
            202: {"description": "Kept; a run follows."},
            401: {"description": "Not signed by a secret that is known here, or not now."},
            404: {"description": "No such mapping, or no secret is set."},
            413: {"description": "The body is too long."},
            503: {"description": "It could not be kept; send it again."},
        },
    )
    async def hook(mapping: str, request: Request) -> JSONResponse:
        """A webhook as Standard Webhooks 1.0 says: the run reads the source, not the body."""
        body = await _body(request)
        headers = dict(request.headers)
        answer = await run_in_threadpool(_receive, project, store, mapping, headers, body)
        return JSONResponse({"detail": answer.detail}, answer.status)

    return router


async def _body(request: Request) -> bytes:
    """The body, or of one that is too long a little more than is allowed."""
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > LARGEST_BODY:
            break
    return bytes(found)


def _receive(
    project: Project, store: Store, mapping: str, headers: dict[str, str], body: bytes
) -> Answer:
    try:
        return receive(project, store, mapping, headers, body)
    except InputError as error:  # what is wrong with the server's own settings is not the sender's
        return Answer(500, redacted(str(error)))
    except SynclineError:
        return Answer(503, "it could not be kept; send it again")
