"""Cache and feed: one lock, one log, consistent cuts from any thread."""

import ast
import threading
from datetime import timedelta
from pathlib import Path

import pytest

import odds_service
from odds_service.cache import OddsCache
from odds_service.feed import ChangeFeed
from odds_service.model.change import Commit
from odds_service.model.cursor import Cursor
from odds_service.model.market import MarketKey
from tests.support.observations import NOON, Book, cached, fold, observe, offered

H2H = MarketKey("h2h")


def book_of(minutes: int) -> tuple[Book, list[Commit]]:
    """Return a book with one batch of changes a minute, and the batches."""
    book = Book()
    batches = []
    for minute in range(minutes):
        price = 1.5 + minute % 2
        found = book.see(observe(offered({"e": {"b": {H2H: {"home": price}}}}), minute))
        batches.append(Commit(found.changes, found.snapshots))
    return book, batches


def fed(feed: ChangeFeed, batches: list[Commit]) -> None:
    for batch in batches:
        with feed.lock:
            feed.append_locked(batch, NOON)


def test_the_ring_is_bounded_but_keeps_what_is_not_durable() -> None:
    _, batches = book_of(20)
    feed = ChangeFeed("e1", 0, capacity=3)
    fed(feed, batches)
    assert feed.oldest_revision == 1  # nothing is durable yet
    feed.advance_durable(10)
    assert feed.oldest_revision == 11
    feed.advance_durable(feed.head_revision)
    assert feed.head_revision - feed.oldest_revision + 1 == 3
    assert feed.read_after(0, 100) is None
    assert feed.read_after(feed.head_revision, 100) == []


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_every_cut_reads_on_without_hole_or_repeat(at_once: int) -> None:
    book, batches = book_of(12)
    feed = ChangeFeed("e1", 0)
    fed(feed, batches)
    for cut in range(len(book.log) + 1):
        seen = [change.revision for change in book.log[:cut]]
        while batch_list := feed.read_after(seen[-1] if seen else 0, at_once):
            after = seen[-1] if seen else 0
            seen += [c.revision for b in batch_list for c in b.changes if c.revision > after]
        assert seen == [change.revision for change in book.log]


def test_revisions_must_follow_each_other() -> None:
    _, batches = book_of(3)
    feed = ChangeFeed("e1", 0)
    with pytest.raises(AssertionError, match="follows head 0"):
        fed(feed, batches[1:])
    with pytest.raises(AssertionError, match="durable"):
        feed.advance_durable(5)


def test_one_wake_up_a_batch_and_none_after_leaving() -> None:
    _, batches = book_of(3)
    feed = ChangeFeed("e1", 0)
    cache = OddsCache(feed)
    calls: list[int] = []
    leave = feed.listen(lambda: calls.append(feed.head_revision))
    for batch in batches:
        cache.swap({}, {}, batch, NOON)
    assert calls == [batch.last_revision for batch in batches]
    leave()
    feed.close()
    assert len(calls) == 3
    assert feed.closed


def test_cuts_taken_by_another_thread_equal_the_log_at_their_revision() -> None:
    feed = ChangeFeed("e1", 0)
    cache = OddsCache(feed)
    book = Book()
    cuts = []
    ready, stop = threading.Event(), threading.Event()

    def read() -> None:
        ready.set()
        while not stop.is_set():
            cuts.append(cache.view())

    reader = threading.Thread(target=read)
    reader.start()
    ready.wait()
    for minute in range(300):
        offer = {f"e{n}": {"b": {H2H: {"home": 1.5 + (minute + n) % 3}}} for n in range(5)}
        found = book.see(observe(offered(offer), minute))
        batch = Commit(found.changes, found.snapshots) if found.changes else None
        cache.swap(found.entries, {}, batch, NOON + timedelta(minutes=minute))
    stop.set()
    reader.join()
    distinct = {cut.cursor.revision: cut for cut in cuts}
    assert len(distinct) > 1
    for revision, cut in distinct.items():
        assert cached(cut.events) == fold(book.log[:revision])
    assert cache.view().cursor == Cursor("e1", len(book.log))
    assert cache.view(["e1", "unknown"]).events.keys() == {"e1"}


def test_each_node_has_one_writer_of_the_cache_and_one_that_says_what_is_durable() -> None:
    """If others swapped values in before detection compared them, it would see no difference.

    A read node has a follower in the place of detection and of the writer.
    """
    package = Path(odds_service.__file__).parent
    names = ("swap", "swap_all", "append_locked", "advance_durable")
    callers: dict[str, set[str]] = {name: set() for name in names}
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in callers:
                callers[node.attr].add(path.relative_to(package).as_posix())
    assert callers == {
        "swap": {"pipeline/detect.py", "bus/announcing.py"},  # the latter hands it on
        "swap_all": {"cache.py", "replica/replica.py"},
        "append_locked": {"cache.py"},
        "advance_durable": {"pipeline/write.py", "replica/replica.py"},
    }
