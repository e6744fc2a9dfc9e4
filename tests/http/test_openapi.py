"""The document is valid OpenAPI, and has all of the contract in words that the door obeys."""

import json
import re
from http import HTTPStatus
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest

from odds_service.http.openapi import document, document_bytes, read_comments, statuses
from odds_service.http.openapi_parameters import query_schema
from odds_service.http.queries import can_be_given, fill, in_parameters, parameters_of
from odds_service.http.routes import PATHS, Path
from odds_service.serving.admission import SERVICE
from odds_service.serving.errors import Refused, bad_request, status_of, unavailable
from odds_service.wire.json_mapping import to_value
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.filling import filled
from tests.http.strict import strict, validator

DOCUMENT = document()
MESSAGES = [
    kind
    for kind in pb.DESCRIPTOR.message_types_by_name.values()
    if kind.name in DOCUMENT["components"]["schemas"]
]


def operation(path: Path) -> Any:
    return DOCUMENT["paths"][path.path][path.verb.lower()]


def test_it_is_valid() -> None:
    schemathesis.openapi.from_dict(json.loads(document_bytes())).validate()


def test_every_call_of_the_contract_is_in_it() -> None:
    assert {path.call for path in PATHS} == {method.name for method in SERVICE.methods}
    assert {operation(path)["operationId"] for path in PATHS} == {
        method.name for method in SERVICE.methods
    }


def test_every_reference_leads_somewhere() -> None:
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))
    assert named == DOCUMENT["components"]["schemas"].keys()
    assert {"GetOddsResponse", "Changes", "Status", "Double"} <= named


def test_every_comment_of_what_is_in_it_is_in_it() -> None:
    texts = json.dumps(DOCUMENT, ensure_ascii=False)
    shown = {kind.name for kind in MESSAGES}
    for name, text in read_comments().items():
        owner = name.removeprefix("odds.v1.").split(".")[0]
        if owner in shown and f"{owner}.as_of" not in name:  # a oneof is no field
            assert json.dumps(text, ensure_ascii=False)[1:-1] in texts, name


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.name)
def test_messages_with_every_field_set_fit_their_schemas(kind: Any) -> None:
    """A field that a schema lacks, or has another type there, is refused."""
    value = to_value(filled(GetMessageClass(kind)))
    assert bool(value) == bool(kind.fields)
    validator(DOCUMENT, {"$ref": f"#/components/schemas/{kind.name}"}).validate(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Cursor", {"epoch": "e", "revision": 7}),
        ("Cursor", {"epoch": "e", "revision": "-7"}),
        ("Cursor", {"epoche": "e"}),
        ("Outcome", {"price": "1.91"}),
        ("Outcome", {"active": "true"}),
        ("Market", {"status": 1}),
        ("Market", {"status": "OPEN"}),
        ("Market", {"changedAt": "today"}),
        ("BestPrice", {"age": 3}),
        ("Image", {"piece": -1}),
        ("SourceStatus", {"problems": {"bad_price": 3}}),
        ("Status", {"code": 3, "details": [{"fieldViolations": []}]}),
    ],
)
def test_other_values_do_not_fit(name: str, value: Any) -> None:
    schema = validator(DOCUMENT, {"$ref": f"#/components/schemas/{name}"})
    assert not schema.is_valid(value)


def test_numbers_that_json_lacks_fit() -> None:
    value = to_value(pb.BookmakerOverround(overround=float("nan")))
    assert value == {"overround": "NaN"}
    validator(DOCUMENT, {"$ref": "#/components/schemas/BookmakerOverround"}).validate(value)


def test_errors_fit_their_schema() -> None:
    schema = validator(DOCUMENT, {"$ref": "#/components/schemas/Status"})
    for refusal in (bad_request("sports", "is empty"), unavailable("later", "STOPPING", a="b")):
        schema.validate(json_format.MessageToDict(status_of(refusal)))


def test_statuses_are_those_that_the_contract_names() -> None:
    comments = read_comments()
    refresh = statuses(SERVICE.methods_by_name["RefreshEvent"], comments)
    assert refresh[HTTPStatus.NOT_FOUND] == ["NOT_FOUND"]
    odds = statuses(SERVICE.methods_by_name["GetOdds"], comments)
    assert HTTPStatus.NOT_FOUND not in odds
    assert odds[HTTPStatus.GATEWAY_TIMEOUT] == ["DEADLINE_EXCEEDED"]
    assert sorted(odds[HTTPStatus.BAD_REQUEST]) == [
        "FAILED_PRECONDITION", "INVALID_ARGUMENT", "OUT_OF_RANGE",
    ]  # fmt: skip
    for path in PATHS:
        assert {"400", "401", "403", "429", "500", "503"} <= operation(path)["responses"].keys()


# A value that a parameter of each type takes, and those that it refuses.
VALUES: dict[str, tuple[list[str], list[str]]] = {
    "boolean": (["true", "false", "1", "0"], ["yes", "2", "tru e"]),
    "date-time": (
        ["2026-11-26T20:00:00Z", "2026-11-26T20:00:00.123+01:00"],
        ["", "today", "2026-11-26", "2026-11-26T20:00:00", "2026-13-26T20:00:00Z", "1700000000"],
    ),
    "duration": (["0.5s", "10", "60s"], ["", "s", "soon", "1e3", " 1s", "1_0", "1.s", "nan"]),
    "cursor": (["e:1", "a:b:12"], ["", "7", ":7", "e:", "e:x", "e:-1", "e:1234567890123456789012"]),
    "integer": (["0", "12"], ["", "x", "1.5", "1_0", " 1", "99999999999", "٣"]),
    "number": (["0", "-2.5", "1e3"], ["", "x", "1_0", "nan", "inf", " 1"]),
}


def kind_of(schema: Any) -> str:
    if "enum" in schema:
        return "enum"
    if schema["type"] == "array":
        return "array"
    if ":" in schema.get("pattern", ""):
        return "cursor"
    if "pattern" in schema:
        return "duration"
    return str(schema.get("format") if schema.get("format") == "date-time" else schema["type"])


PARAMETERS = [
    (path.call, name)
    for path in PATHS
    for name, (_, field) in parameters_of(SERVICE.methods_by_name[path.call].input_type).items()
    if can_be_given(field)
]


@pytest.mark.parametrize(("call", "name"), PARAMETERS)
def test_parameters_take_what_is_documented_and_name_themselves_otherwise(
    call: str, name: str
) -> None:
    kind = SERVICE.methods_by_name[call].input_type
    where, field = parameters_of(kind)[name]
    schema = query_schema(where, field)
    if kind_of(schema) == "enum":
        good, bad = [*schema["enum"], schema["enum"][0].upper()], ["", "99", "x", "1"]
    else:
        good, bad = VALUES.get(kind_of(schema), (["a", "b"], []))
    for text in good:
        request = GetMessageClass(kind)()
        fill(request, [(name, text)])
        assert request.ByteSize() or text in {"0", "false"}, text
    for text in bad:
        with pytest.raises(Refused) as caught:
            fill(GetMessageClass(kind)(), [(name, text)])
        assert field_named(caught.value) == name, text
    if kind_of(schema) == "array":
        request = GetMessageClass(kind)()
        fill(request, [(name, "a"), (name, "b")])
        assert sorted(str(request).split('"')[1::2]) == ["a", "b"]
    else:
        with pytest.raises(Refused) as caught:
            fill(GetMessageClass(kind)(), [(name, good[0]), (name, good[0])])
        assert field_named(caught.value) == name


def field_named(refusal: Refused) -> str:
    (detail,) = refusal.details
    assert isinstance(detail, BadRequest)
    (violation,) = detail.field_violations
    return violation.field


def test_two_parameters_that_exclude_each_other_are_refused() -> None:
    given = [("asOfCursor", "e:1"), ("asOfTime", "2026-11-26T20:00:00Z")]
    for pair in (given, given[::-1]):
        with pytest.raises(Refused, match=f"{pair[1][0]}: is given beside {pair[0][0]}"):
            fill(pb.GetOddsRequest(), pair)


def test_refusals_of_calls_name_parameters() -> None:
    kind = pb.GetOddsRequest.DESCRIPTOR
    told = in_parameters(bad_request("filter.event_ids", "holds an empty value"), kind)
    assert str(told) == "eventIds: holds an empty value"
    assert field_named(told) == "eventIds"
    other = unavailable("the service is stopping", "STOPPING")
    assert in_parameters(other, kind) is other


def test_strictness_refuses_more_than_the_document() -> None:
    plain = jsonschema_rs.Draft202012Validator(
        DOCUMENT["components"]["schemas"]["Cursor"], validate_formats=True
    )
    assert plain.is_valid({"added_later": 1})
    assert not jsonschema_rs.Draft202012Validator(
        strict(DOCUMENT["components"]["schemas"]["Cursor"])
    ).is_valid({"added_later": 1})
