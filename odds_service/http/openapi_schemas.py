"""JSON schemas of the contract's messages, in protobuf's JSON mapping, made from descriptors."""

from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.rpc import error_details_pb2, status_pb2

Schema = dict[str, Any]
# Descriptors of messages and enums are Any here: the stubs have two unrelated types of them.

DURATION: Final = r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$"
_TYPE_URL: Final = "type.googleapis.com/"
_DETAILS: Final = ("BadRequest", "ErrorInfo", "QuotaFailure", "RetryInfo")

_WHOLE: Final[dict[int, Schema]] = {
    FieldDescriptor.CPPTYPE_INT32: {
        "type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1,
    },
    FieldDescriptor.CPPTYPE_UINT32: {
        "type": "integer", "format": "int64", "minimum": 0, "maximum": 2**32 - 1,
    },
    FieldDescriptor.CPPTYPE_INT64: {"type": "string", "pattern": "^-?[0-9]{1,19}$"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "string", "pattern": "^[0-9]{1,20}$"},
}  # fmt: skip
_PLAIN: Final[dict[int, Schema]] = {
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
}
# The mapping writes numbers that JSON lacks as text.
_DOUBLE: Final[Schema] = {
    "description": "A number; `NaN` and the infinities are text.",
    "anyOf": [
        {"type": "number", "format": "double"},
        {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]},
    ],
}
_WELL_KNOWN: Final[dict[str, Schema]] = {
    "google.protobuf.Timestamp": {
        "type": "string", "format": "date-time", "examples": ["2026-11-26T20:00:00Z"],
    },
    "google.protobuf.Duration": {
        "type": "string", "pattern": DURATION, "examples": ["10s", "0.250s"],
    },
}  # fmt: skip


class Schemas:
    """The schemas of the messages that a document refers to, made when first referred to.

    Attributes:
        made: The schemas by their names in the document.
    """

    def __init__(self, comments: dict[str, str]) -> None:
        self.made: dict[str, Schema] = {}
        self._comments = comments

    def reference(self, kind: Any) -> Schema:
        """Return a reference to the schema of a message or an enum."""
        if kind.name not in self.made:
            self.made[kind.name] = {}  # a message may hold itself
            made = self._enum(kind) if hasattr(kind, "values") else self._message(kind)
            self.made[kind.name] = made
        return {"$ref": f"#/components/schemas/{kind.name}"}

    def status(self) -> Schema:
        """Return a reference to the schema of errors."""
        status = status_pb2.Status.DESCRIPTOR
        if status.name in self.made:
            return self.reference(status)
        details = [self._detail(error_details_pb2.DESCRIPTOR.message_types_by_name[name])
                   for name in _DETAILS]  # fmt: skip
        self.made[status.name] = {
            "type": "object",
            "description": "An error. `code` is that of gRPC, `message` is for people; programs "
            "look at `details`.",
            "properties": {
                "code": _WHOLE[FieldDescriptor.CPPTYPE_INT32],
                "message": {"type": "string"},
                "details": {"type": "array", "items": {"anyOf": details}},
            },
            "required": ["code"],
        }
        return self.reference(status)

    def described(self, schema: Schema, name: str) -> Schema:
        """Return a schema with the proto's comment of a definition, if there is one."""
        text = self._comments.get(name)
        return schema if text is None else schema | {"description": text}

    def of_field(self, field: FieldDescriptor) -> Schema:
        """Return the schema of a field, without its comment."""
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            values = self.single(kind.fields_by_name["value"])
            return {"type": "object", "additionalProperties": values}
        one = self.single(field)
        return {"type": "array", "items": one} if field.is_repeated else one

    def single(self, field: FieldDescriptor) -> Schema:
        """Return the schema of one value of a field."""
        if field.message_type is not None:
            known = _WELL_KNOWN.get(field.message_type.full_name)
            return self.reference(field.message_type) if known is None else dict(known)
        if field.enum_type is not None:
            return self.reference(field.enum_type)
        if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
            self.made.setdefault("Double", _DOUBLE)
            return {"$ref": "#/components/schemas/Double"}
        return dict(_WHOLE.get(field.cpp_type) or _PLAIN[field.cpp_type])

    def _message(self, kind: Any) -> Schema:
        made: Schema = self.described({"type": "object"}, kind.full_name)
        made["properties"] = {
            field.json_name: self.described(self.of_field(field), field.full_name)
            for field in kind.fields
        }
        return made

    def _enum(self, kind: Any) -> Schema:
        values = [f"`{value.name}`: {self._comments[name]}" for value in kind.values
                  if (name := f"{kind.full_name}.{value.name}") in self._comments]  # fmt: skip
        texts = [text for text in (self._comments.get(kind.full_name),) if text]
        texts += ["\n".join(f" - {value}" for value in values)] if values else []
        made: Schema = {"type": "string", "enum": [value.name for value in kind.values]}
        return made | {"description": "\n\n".join(texts)} if texts else made

    def _detail(self, kind: Any) -> Schema:
        """Return a reference to a detail of an error: a message that names its own type."""
        self.reference(kind)
        made = self.made[kind.name]
        if "@type" not in made["properties"]:
            type_name: Schema = {"type": "string", "const": f"{_TYPE_URL}{kind.full_name}"}
            made["properties"] = {"@type": type_name} | made["properties"]
            made["required"] = ["@type"]
        return self.reference(kind)
