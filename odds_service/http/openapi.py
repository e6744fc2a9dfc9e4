"""The OpenAPI document: made from the contract's descriptors, its comments and the table of paths.

A call that joins the contract and the table is in the document without more work.
"""

import hashlib
import json
import re
from functools import lru_cache
from http import HTTPStatus
from importlib.resources import files
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from starlette.requests import Request
from starlette.responses import Response

from odds_service import __version__
from odds_service.http.answers import JSON
from odds_service.http.columns import TYPES
from odds_service.http.errors import HTTP_STATUS
from odds_service.http.openapi_parameters import parameters
from odds_service.http.openapi_schemas import Schema, Schemas
from odds_service.http.routes import EVENT_STREAM, LINES, PATHS, Path, sends_events
from odds_service.http.session import SESSION
from odds_service.serving.admission import SERVICE
from odds_service.serving.auth import RIGHTS
from odds_service.serving.errors import StatusCode
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

_ABOUT: Final = """\
Generated from the contract of the gRPC service, in protobuf's JSON mapping. Fields that have their
default value (0, false, an empty text, an empty list) are left out of replies. The descriptions are
those of the contract: names in them are written `as_there`, and `inCamelCase` in JSON. Ignore
fields that you do not know: more may be added.

A cursor is `EPOCH:REVISION` as a parameter, as the id of an event and in `Last-Event-ID`; one got
by gRPC is good here, and the other way round. Parameters whose value is a list are repeated.

"""
_EVENTS: Final = """

As Server-Sent Events: `id:` is the cursor, `event:` the kind of the message, `data:` the message as
JSON in one line. An event of kind `error` ends the stream: it has no id, and its data is a Status.
To go on after a disconnect, send the last id as the header `Last-Event-ID`, or as `resume`."""
_LINES_TEXT: Final = """

As lines of JSON (NDJSON), one object a line. The last line has the only key `end` and shows that
nothing is missing, or the only key `error` if the stream failed after it had begun. Without either
the download was cut off."""


@lru_cache(maxsize=1)
def document_bytes() -> bytes:
    """Return the document as JSON text."""
    return json.dumps(document(), ensure_ascii=False, separators=(",", ":")).encode()


async def show_document(request: Request) -> Response:
    """Answer with the document; it changes with the version only."""
    body = document_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    known = {each.strip().removeprefix("W/") for each in
             request.headers.get("if-none-match", "").split(",")}  # fmt: skip
    if known & {tag, "*"}:
        return Response(None, HTTPStatus.NOT_MODIFIED, headers)
    return Response(body, HTTPStatus.OK, headers, JSON)


def document() -> Schema:
    """Return the OpenAPI document as a value."""
    comments = read_comments()
    schemas = Schemas(comments)
    paths: Schema = {}
    for path in PATHS:
        method = SERVICE.methods_by_name[path.call]
        paths.setdefault(path.path, {})[path.verb.lower()] = _operation(
            path, method, schemas, comments
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "odds-service",
            "version": __version__,
            "description": _ABOUT + comments[pb.DESCRIPTOR.package],
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"bearer": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.made.items())),
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "A token of the server's settings; none is asked for where "
                    "the server has no tokens.",
                },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": SESSION,
                    "description": "The cookie of a browser that has signed in.",
                },
            },
        },
    }  # fmt: skip


def read_comments() -> dict[str, str]:
    """Return the comments of the contract: full name -> text; see tools/proto_comments.py."""
    text = files("odds_service.http").joinpath("comments.json").read_text("utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def statuses(method: MethodDescriptor, comments: dict[str, str]) -> dict[HTTPStatus, list[str]]:
    """Return the HTTP statuses of a call's errors, each with the contract's codes behind it.

    They are those that the comments of the call and of the service name.
    """
    text = f"{comments[SERVICE.full_name]} {comments[method.full_name]}"
    named = {word for word in re.findall(r"\b[A-Z_]+\b", text) if word in StatusCode.__members__}
    found: dict[HTTPStatus, list[str]] = {}
    for code in StatusCode:
        if code.name in named:
            status = HTTP_STATUS.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
            found.setdefault(status, []).append(code.name)
    return dict(sorted(found.items()))


def _operation(
    path: Path, method: MethodDescriptor, schemas: Schemas, comments: dict[str, str]
) -> Schema:
    text = comments[method.full_name]
    summary = re.split(r"(?<=[.:])\s", text, maxsplit=1)[0].rstrip(".:")
    made: Schema = {
        "operationId": path.call,
        "summary": " ".join(summary.split()),
        "description": text + _about_stream(method),
        "x-right": RIGHTS[path.call].value,
    }
    given = parameters(path, method, schemas)
    if given:
        made["parameters"] = given
    if path.verb == "POST":
        made["requestBody"] = {"content": {JSON: {"schema": _closed(method, schemas)}}}
    ok: Schema = {"description": "The answer.", "content": _content(method, schemas)}
    if path.verb == "GET" and not method.server_streaming:
        ok["headers"] = {"ETag": {"schema": {"type": "string"}}}
    made["responses"] = {"200": ok} | {
        str(int(status)): {
            "description": f"{status.phrase}: {', '.join(codes)}.",
            "content": {JSON: {"schema": schemas.status()}},
        }
        for status, codes in statuses(method, comments).items()
    }
    made["responses"]["431"] = {"description": "The address and the headers exceed 64 KiB."}
    return made


def _about_stream(method: MethodDescriptor) -> str:
    if not method.server_streaming:
        return ""
    return _EVENTS if sends_events(method) else _LINES_TEXT


def _content(method: MethodDescriptor, schemas: Schemas) -> Schema:
    answer = method.output_type
    if not method.server_streaming:
        return {JSON: {"schema": schemas.reference(answer)}}
    if sends_events(method):
        kinds = {
            field.name: schemas.described(schemas.of_field(field), field.full_name)
            for field in answer.fields
        }
        kinds["error"] = {"description": "The stream ends with this error."} | schemas.status()
        return {_bare(EVENT_STREAM): {"schema": _event(kinds), "x-events": kinds}}
    (rows,) = [field for field in answer.fields if field.is_repeated]
    failed = {"type": "object", "properties": {"error": schemas.status()}, "required": ["error"]}
    whole = _last_line(answer, rows, schemas)
    line = {"description": "One line.", "anyOf": [failed, whole, schemas.single(rows)]}
    found: Schema = {_bare(LINES): {"schema": line}}
    if "columns" in answer.fields_by_name:
        found |= {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in TYPES.values()
        }
    return found


def _last_line(page: Descriptor, rows: FieldDescriptor, schemas: Schemas) -> Schema:
    """Return the schema of the line that ends a whole stream: see lines.Lines."""
    fields: Schema = {rows.json_name: {"type": "string", "description": "The lines before it."}}
    for field in page.fields:
        if field is not rows:
            fields[field.json_name] = schemas.of_field(field)
    end = {"type": "object", "properties": fields, "required": [rows.json_name]}
    return {"type": "object", "properties": {"end": end}, "required": ["end"]}


def _event(kinds: Schema) -> Schema:
    """Return the schema of one event of a stream, as the value that its lines stand for."""
    text = {"type": "string"}
    choices = [
        {
            "properties": {
                "event": {"const": kind},
                "data": {"contentMediaType": JSON, "contentSchema": schema},
            }
        }
        for kind, schema in kinds.items()
    ]
    return {
        "description": "One event.",
        "type": "object",
        "properties": {"id": text, "event": text, "data": text},
        "required": ["event", "data"],
        "anyOf": choices,
    }


def _bare(media_type: str) -> str:
    """Return a media type without its parameters."""
    return media_type.partition(";")[0]


def _closed(method: MethodDescriptor, schemas: Schemas) -> Schema:
    """Return the schema of a body, which is refused with fields that are unknown."""
    kind = method.input_type
    schemas.reference(kind)
    schemas.made[kind.name]["additionalProperties"] = False
    return schemas.reference(kind)
