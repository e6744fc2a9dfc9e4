"""Parameters of the calls in the OpenAPI document; queries.py is what reads them."""

import re
from typing import Final

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from odds_service.http.openapi_schemas import Schema, Schemas
from odds_service.http.queries import can_be_given, parameters_of, short_names
from odds_service.http.routes import Path, takes_last_event_id
from odds_service.serving.selection import MAX_VALUE_CHARS

_CURSOR: Final[Schema] = {
    "type": "string",
    "pattern": r"^[\s\S]+:[0-9]{1,19}$",
    "examples": ["be60ae3c65c74ff0a8a356b06e2e7c53:81724"],
}
_MESSAGES: Final[dict[str, Schema]] = {
    "google.protobuf.Timestamp": {
        "type": "string",
        "format": "date-time",
        "examples": ["2026-11-26T20:00:00Z"],
    },
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^[0-9]{1,12}(\.[0-9]{1,9})?s?$",
        "examples": ["0.5s", "10"],
    },
    "odds.v1.Cursor": _CURSOR,
}


def parameters(path: Path, method: MethodDescriptor, schemas: Schemas) -> list[Schema]:
    """Return the parameters of a call: those of its path, its query and its headers.

    Args:
        path: The place of the call.
        method: The call in the contract.
        schemas: The schemas and comments of the document.
    """
    request = method.input_type
    in_path = re.findall(r"{(\w+)}", path.path)
    found = []
    for name in in_path:
        schema: Schema = {"type": "string", "minLength": 1}
        one: Schema = {"name": name, "in": "path", "required": True, "schema": schema}
        found.append(schemas.described(one, request.fields_by_name[name].full_name))
    for name, (where, field) in parameters_of(request).items():
        if field.name in in_path or not can_be_given(field):
            continue
        one = {"name": name, "in": "query", "schema": query_schema(where, field)}
        if field.is_repeated:
            one |= {"style": "form", "explode": True}
        found.append(schemas.described(one, field.full_name))
    if takes_last_event_id(method):
        text = "The id of the last event that was received. It goes before `resume`."
        one = {"name": "Last-Event-ID", "in": "header", "description": text, "schema": _CURSOR}
        found.append(one)
    return found


def query_schema(where: str, field: FieldDescriptor) -> Schema:
    """Return the schema of a query parameter.

    Args:
        where: The path of the field in its request; see queries.parameters_of.
        field: The field.
    """
    one = _single(field)
    if "." in where and one == {"type": "string"}:  # the filter has bounds of its own
        one |= {"minLength": 1, "maxLength": MAX_VALUE_CHARS}
    if not field.is_repeated:
        return one
    return {"type": "array", "items": one}


def _single(field: FieldDescriptor) -> Schema:
    if field.message_type is not None:
        return dict(_MESSAGES[field.message_type.full_name])
    if field.enum_type is not None:
        names = list(short_names(field.enum_type))[1:]  # UNSPECIFIED is the same as none
        return {
            "type": "string",
            "enum": names + [each.name for each in field.enum_type.values[1:]],
        }
    if field.cpp_type == FieldDescriptor.CPPTYPE_UINT64:
        return {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}
    if field.cpp_type == FieldDescriptor.CPPTYPE_INT64:
        return {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return {"type": "number", "format": "double"}
    return Schemas({}).single(field)
