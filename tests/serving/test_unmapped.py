"""ListUnmapped: names that no table maps, with samples."""

from datetime import timedelta

from msgspec.structs import replace

from odds_service.model.observation import UnmappedSample
from odds_service.status import UnmappedReport
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.client.faces import Face, faces
from tests.contract.calling import refused
from tests.serving.test_restricted import client_of, settings
from tests.support.observations import NOON
from tests.support.odds_builders import Bookkeeping, Client, connected, serving

SAMPLE = UnmappedSample(
    sport="soccer", event_id="own-7", event_name="Home – Away", outcomes=("1", "<b>X</b>")
)
CORNERS = UnmappedReport(
    source="ours", sport="soccer", name="Corners", count=3, last_seen_at=NOON, samples=(SAMPLE,)
)


def book_of(*reports: UnmappedReport) -> Bookkeeping:
    book = Bookkeeping(sources=("ours", "hidden"))
    book.unmapped = reports
    return book


FOUR = (
    replace(CORNERS, name="Rare", count=1, samples=()),
    CORNERS,
    replace(CORNERS, source="hidden", name="Aces", sport="tennis"),
    replace(CORNERS, source="hidden", count=9, last_seen_at=NOON + timedelta(hours=1)),
)


async def names(client: Client, **asked: list[str]) -> list[tuple[str, str, int]]:
    reply = await client.call("ListUnmapped", pb.ListUnmappedRequest(**asked))
    return [(each.source, each.name, each.count) for each in reply.markets]


async def test_the_commonest_names_come_first_with_their_samples() -> None:
    async with serving(book_of(*FOUR)) as server:
        with connected(server.address) as client:
            assert await names(client) == [
                ("hidden", "Corners", 9), ("hidden", "Aces", 3), ("ours", "Corners", 3),
                ("ours", "Rare", 1),
            ]  # fmt: skip
            reply = await client.call("ListUnmapped", pb.ListUnmappedRequest(sources=["ours"]))
    first, rare = reply.markets
    (sample,) = first.samples
    assert (sample.event_id, sample.event_name) == ("own-7", "Home – Away")
    assert list(sample.outcomes) == ["1", "<b>X</b>"]
    assert first.last_seen_at.ToMilliseconds() == NOON.timestamp() * 1000
    assert (first.sport, list(rare.samples)) == ("soccer", [])


async def test_sources_and_sports_can_be_chosen() -> None:
    async with serving(book_of(*FOUR)) as server:
        with connected(server.address) as client:
            assert len(await names(client, sources=["hidden"])) == 2
            assert await names(client, sports=["tennis"]) == [("hidden", "Aces", 3)]
            assert await names(client, sports=["tennis"], sources=["ours"]) == []
            assert await names(client, sources=["nobody"]) == []


async def test_a_restricted_caller_sees_its_sources() -> None:
    async with serving(book_of(*FOUR), settings=settings()) as server:
        for name, sources in (("ours", {"ours"}), ("b1", {"ours", "hidden"}), ("nobody", set())):
            with client_of(server.address, f"token-of-{name}") as client:
                assert {each[0] for each in await names(client)} == sources
                if name == "ours":
                    assert await names(client, sources=["hidden"]) == []


async def test_the_reply_is_bounded() -> None:
    wide = replace(SAMPLE, outcomes=("x" * 60,) * 10)
    many = [
        replace(CORNERS, name=f"made up {n}", samples=(wide,) * 3, count=n) for n in range(1, 4_000)
    ]
    book = book_of(*many, replace(CORNERS, source="hidden"))
    async with serving(book) as server:
        with connected(server.address) as client:
            refusal = await refused(client, "ListUnmapped", pb.ListUnmappedRequest())
            assert refusal.code == "RESOURCE_EXHAUSTED"
            assert "4 MiB" in refusal.text
            (violation,) = refusal.details["QuotaFailure"].violations
            assert violation.subject == "reply size"
            assert len(await names(client, sources=["hidden"])) == 1
            book.unmapped = many[:1_000]  # all that one source can have
            assert len(await names(client)) == 1_000


async def test_a_malformed_request_is_refused_by_the_name_of_its_field() -> None:
    async with serving(Bookkeeping()) as server:
        with connected(server.address) as client:
            for field in ("sources", "sports"):
                request = pb.ListUnmappedRequest(**{field: [""]})
                refusal = await refused(client, "ListUnmapped", request)
                assert (refusal.code, refusal.field) == ("INVALID_ARGUMENT", field)


@faces
async def test_the_client_lists_them(face: Face) -> None:
    async with serving(book_of(*FOUR)) as server:
        found = await face(
            server.address, lambda client: client.unmapped(["ours"], sports=["soccer"])
        )
    first, _ = found
    assert (first.source, first.name, first.count, first.last_seen_at) == (
        "ours", "Corners", 3, NOON,
    )  # fmt: skip
    assert first.samples[0].outcomes == ("1", "<b>X</b>")
