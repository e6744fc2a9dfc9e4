"""The server in use, and the order in which others are tried."""

import pytest

from odds_service.client import Address, AddressError, ServiceError
from odds_service.client.rotation import Rotation, Round

AWAY = ServiceError("UNAVAILABLE", "gone")


def test_each_server_is_tried_once_in_a_round() -> None:
    attempts = Round(Rotation(["a:1", "b:1", "c:1"]))
    tried = []
    other: str | None = attempts.next()
    while other is not None:
        tried.append(attempts.next())
        other = attempts.failed(AWAY)
    assert tried == ["a:1", "b:1", "c:1"]
    told = attempts.told(AWAY)
    assert str(told) == "none of 3 servers serves: a:1: gone; b:1: gone; c:1: gone"
    assert told.code == "UNAVAILABLE"
    assert attempts.next() == "c:1"  # a new round begins where the last one ended
    assert attempts.failed(AWAY) == "a:1"


def test_all_users_of_a_rotation_follow_one_that_changes_over() -> None:
    rotation = Rotation(["a:1", "b:1", "c:1"])
    first, second, third = Round(rotation), Round(rotation), Round(rotation)
    assert first.next() == second.next() == "a:1"
    assert first.failed(AWAY) == "b:1"
    assert rotation.current == "b:1"
    assert second.failed(AWAY) == "b:1"  # not a step further
    assert third.next() == "b:1"
    assert third.failed(AWAY) == "c:1"
    assert rotation.current == "c:1"
    assert first.next() == "b:1"  # it stays where it is until that fails


def test_a_failure_elsewhere_does_not_move_the_server_in_use() -> None:
    rotation = Rotation(["a:1", "b:1"])
    stream, call = Round(rotation), Round(rotation)
    stream.next()
    call.next()
    assert stream.failed(AWAY) == "b:1"
    call.restart()
    assert call.next() == "b:1"
    assert call.failed(AWAY) == "a:1"
    assert stream.failed(AWAY) is None  # a:1 and b:1 have failed it
    assert rotation.current == "a:1"


@pytest.mark.parametrize(
    "error",
    [
        ServiceError("UNAUTHENTICATED", "a wrong token"),
        ServiceError("RESOURCE_EXHAUSTED", "too many streams", retry_after_s=1.0),
        ServiceError("UNAVAILABLE", "not over yet", reason="NOT_SETTLED"),
        ServiceError("UNAVAILABLE", "read nothing", reason="STALLED_READER"),
        ServiceError("DEADLINE_EXCEEDED", "too late"),
    ],
)
def test_what_another_server_would_say_too_is_no_reason_to_change_over(error: ServiceError) -> None:
    rotation = Rotation(["a:1", "b:1"])
    attempts = Round(rotation)
    attempts.next()
    assert attempts.failed(error) is None
    assert attempts.told(error) is error
    assert rotation.current == "a:1"


def test_one_server_has_no_other() -> None:
    attempts = Round(Rotation(["a:1"]))
    for _ in range(3):
        assert attempts.next() == "a:1"
        assert attempts.failed(AWAY) is None
        assert attempts.told(AWAY) is AWAY


def test_an_address_holds_several_servers() -> None:
    address = Address(" a:1, b:1,a:1 ")
    assert address.servers == ("a:1", "b:1")
    assert address.rotation is address.rotation
    assert Address("a:1").servers == ("a:1",)
    assert Address("a:1,b:1") == Address("a:1,b:1")
    for wrong, says in (("a:1,", "'' is not host:port"), ("a:1,b", "'b' is not host:port")):
        with pytest.raises(AddressError, match=says):
            Address(wrong).credentials()
    with pytest.raises(AddressError, match="not sent to far:2 in the clear"):
        Address("localhost:1,far:2", token="t").credentials()
