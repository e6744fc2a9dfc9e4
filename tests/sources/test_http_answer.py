"""HTTP answers: a bad status, shape or Retry-After has a name and a bound."""

from datetime import UTC, datetime

import pytest

from odds_service.errors import SourceError
from odds_service.sources.http_answer import Answer, require_json, require_ok, retry_after


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 3 ", 3.0),
        ("1.5", 1.5),
        ("3601", 3_600.0),
        ("1000000000000", 3_600.0),
        ("9" * 400, 3_600.0),
        ("1e12", None),
        ("NaN", None),
        ("1785844860", 60.0),  # seconds since 1970
        ("1785844860000", 60.0),  # milliseconds
        ("1785844700", 0.0),
        ("1885845400", 3_600.0),
        ("Tue, 04 Aug 2099 12:00:00 GMT", 3_600.0),
        ("Fri, 31 Dec 9999 23:59:59 -1200", 3_600.0),
        ("Mon, 01 Jan 0001 00:00:00 +1400", 0.0),
        ("Tue, 99 Aug 2026 99:00:00 GMT", None),
        ("Tue, 04 Aug 2026 12:01:00 GMT", 60.0),
        ("Tue, 04 Aug 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("٣", None),
    ],
)
def test_retry_after_header(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, datetime(2026, 8, 4, 12, tzinfo=UTC), 3_600.0) == seconds


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<!DOCTYPE html><title>Just a moment</title>", "html"),
        (b"  \n<html>", "html"),
        (b"", "not_json"),
        (b"OK", "not_json"),
        (b'"text"', "not_json"),
    ],
)
def test_what_is_no_json_is_named(body: bytes, kind: str) -> None:
    with pytest.raises(SourceError) as caught:
        require_json("/odds", Answer(200, {}, body))
    assert caught.value.kind == kind


def test_json_may_have_a_mark_before_it() -> None:
    assert require_json("/odds", Answer(200, {}, b"\xef\xbb\xbf [1]")) == b" [1]"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "unauthorized"), (403, "forbidden"), (404, "not_found"), (418, "bad_request")],
)
def test_a_refusal_has_a_name(status: int, kind: str) -> None:
    with pytest.raises(SourceError) as caught:
        require_ok("/odds", Answer(status, {}, b""))
    assert caught.value.kind == kind
