"""A running service answers as the document says: real requests, and those of a fuzzer."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks

from odds_service.http.openapi import document
from odds_service.http.routes import PATHS, Path
from tests.http.demo_service import demo_service
from tests.http.strict import validator
from tests.support.examples import examples

DOCUMENT = document()
WITHIN_S = 60.0
# Requests of each call that get an answer; `{event}` is an event that is there.
GOOD = {
    "GetOdds": ["", "?includeBest=true&markets=h2h&markets=totals", "?eventIds={event}"],
    "WatchChanges": ["?image=only"],
    "ListEvents": ["", "?pageSize=2&inPlay=false"],
    "GetHistory": [""],
    "GetClosingOdds": ["?startTo=2099-01-01T00:00:00Z"],
    "RefreshEvent": ["", "?deadline=20"],
    "GetStatus": [""],
}
load_all_checks()
# Not `positive_data_acceptance`: a well-formed cursor of another log is refused, as documented.
# Not `negative_data_rejection`: `1` and `only` in other letters are taken too; test_openapi.py has
# values that are refused, with the parameter that is named.
HELD: Any = [
    check
    for check in CHECKS.get_all()
    if check.__name__ in {
        "status_code_conformance", "content_type_conformance", "response_headers_conformance",
        "response_schema_conformance",
    }
]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with demo_service() as address:
        yield address


@pytest.fixture(scope="module")
def event(server: str) -> str:
    """Return the id of an event that the service has."""
    listed = httpx.get(f"{server}/v1/events", timeout=WITHIN_S).json()["events"]
    return str(listed[0]["event"]["id"])


def operation(path: Path) -> Any:
    return DOCUMENT["paths"][path.path][path.verb.lower()]


def held(path: Path, response: httpx.Response) -> list[Any]:
    """Hold a response against the document; return the values in its body."""
    told = operation(path)["responses"][str(response.status_code)]["content"]
    kind = response.headers["content-type"].partition(";")[0]
    content = told[kind]
    if "x-events" in content:
        return [*events(content["x-events"], response.text)]
    schema = validator(DOCUMENT, content["schema"])
    lines = response.text.splitlines() if kind == "application/x-ndjson" else [response.text]
    values = [json.loads(line) for line in lines]
    for value in values:
        schema.validate(value)
    return values


def events(kinds: Any, text: str) -> Iterator[Any]:
    """Yield the data of Server-Sent Events, each held against the schema of its kind."""
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        value = json.loads(fields["data"])
        validator(DOCUMENT, kinds[fields["event"]]).validate(value)
        yield {"event": fields["event"]} | value


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.call)
def test_answers_are_as_documented(server: str, event: str, path: Path) -> None:
    place = path.path.replace("{event_id}", quote(event, safe=""))
    for query in GOOD.get(path.call, []):
        address = server + place + query.replace("{event}", quote(event, safe=""))
        response = httpx.request(path.verb, address, timeout=WITHIN_S)
        assert response.status_code == 200, response.text
        values = held(path, response)
        if path.call == "WatchChanges":
            assert [values[0]["event"], values[-1]["event"]] == ["opened", "image_end"]
            assert "image" in {value["event"] for value in values}
        elif path.call != "GetClosingOdds":  # nothing has started
            assert values
            assert all(values)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.call)
def test_refusals_are_as_documented(server: str, path: Path) -> None:
    place = path.path.replace("{event_id}", "unknown")
    response = httpx.request(path.verb, f"{server}{place}?colour=red", timeout=WITHIN_S)
    assert response.status_code == 400
    (refusal,) = held(path, response)
    assert refusal["details"][0]["fieldViolations"][0]["field"] == "colour"


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b"{", b"\xff", b'{"deadline": 3}'])
def test_malformed_bodies_are_refused(server: str, body: bytes) -> None:
    (path,) = [path for path in PATHS if path.call == "RefreshEvent"]
    address = server + path.path.replace("{event_id}", "unknown")
    response = httpx.post(address, content=body, timeout=WITHIN_S)
    assert response.status_code == 400
    (refusal,) = held(path, response)
    assert refusal["details"][0]["fieldViolations"][0]["field"] == "body"
    assert "Error" not in refusal["message"]  # no words of Python


def test_an_id_with_a_slash_reaches_its_call(server: str) -> None:
    response = httpx.post(f"{server}/v1/events/a%2Fb:refresh", timeout=WITHIN_S)
    assert response.status_code == 404
    assert "'a/b'" in response.json()["message"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.call)
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_nothing_that_is_sent_breaks_a_call(server: str, path: Path, mode: str) -> None:
    """The service answers with documented statuses, types and shapes, and never with a fault."""
    if mode == "negative" and not {"parameters", "requestBody"} & operation(path).keys():
        return  # nothing can be wrong
    fuzzed = schemathesis.openapi.from_dict(DOCUMENT)[path.path][path.verb]
    cases = fuzzed.as_strategy(generation_mode=schemathesis.GenerationMode(mode))

    @given(data=st.data())
    @settings(
        max_examples=examples(25),
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )
    def send(data: st.DataObject) -> None:
        case = data.draw(cases)
        if path.call == "WatchChanges":
            case.query = dict(case.query or {}) | {"image": "only"}  # ends by itself
        response = case.call(base_url=server, timeout=WITHIN_S)
        assert response.status_code < 500 or response.status_code in {501, 503}, response.text
        case.validate_response(response, checks=HELD)

    send()


def test_the_document_is_served_and_confirmed_by_its_tag(server: str) -> None:
    first = httpx.get(f"{server}/openapi.json", timeout=WITHIN_S)
    assert first.headers["content-type"] == "application/json"
    assert first.json() == DOCUMENT
    again = {"if-none-match": f'"other", W/{first.headers["etag"]}'}
    assert httpx.get(f"{server}/openapi.json", headers=again).status_code == 304
    other = {"if-none-match": '"other"'}
    assert httpx.get(f"{server}/openapi.json", headers=other).status_code == 200
