"""The document's schemas without the room for fields that are added later."""

from typing import Any

import jsonschema_rs


def strict(schema: Any) -> Any:
    """Return a schema whose objects have no other fields than those described."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(each) for name, each in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def validator(document: Any, schema: Any) -> jsonschema_rs.Draft202012Validator:
    """Return a validator of a schema that refers to the document's schemas, all made strict."""
    components = {"schemas": strict(document["components"]["schemas"])}
    whole = strict(schema) | {"components": components}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
