"""The rules of the suite; `conftest.py` and the settings of pytest enforce most of them.

Places: a test file lies where its module lies and bears its name
(`odds_service/stream/conflation.py`, `tests/stream/test_conflation.py`). `contract/` tests the
sentences of the proto file one by one, `e2e/` whole services as processes or in one, `faults/`
services whose database, network or process fails. `support/` has what several files share.

Limits: a test ends within 300 s or fails with the stacks of all threads; `long` tests have no
limit. Inside a test, `trio.fail_after` bounds a wait for something that may never come. Choose its
seconds for a machine that is four times too busy: 20 costs nothing where the wait is short. A limit
measures nothing: costs are counted in calls, bytes, blocks or instructions.

Real servers: PostgreSQL comes from a wheel and is started once for each worker; a bookmaker is a
real HTTP server, a client a real gRPC client. Every server listens on port 0. Nothing is mocked but
the wall clock, and a provider's network.

Waiting: a test waits for an observable effect: a counter, a message, a row, a log event, a blocked
task. It does not sleep for a while and hope. A test that nothing happens needs a later event to
prove that the time has passed: a second message, a further poll, a cursor. `autojump_clock` is for
tests that are pure Trio; with real input and output it jumps, and every timeout expires at once.

Races are forced, not hoped for: `trio.testing.Sequencer` and `wait_all_tasks_blocked` order tasks,
a lock or a paused process holds a step open, `monkeypatch` puts a checkpoint or an error into one.
For each stage, cancel it in each state, and let cache, feed and store agree afterwards.

Errors: whatever is logged at ERROR fails the test, unless the test claims it: by the marker
`logs_errors`, or with `structlog.testing.capture_logs()`. So does every warning.

Markers: `slow` for processes, whole services, databases, and waits of seconds (by place, see
`conftest.py`); `long` for soaks and measurements of minutes. `make test-fast` runs neither, `make
test` all but `long`, `.ci/long` the `long` ones, and every property test with many more examples
(`support/examples.py`).

Tests run in parallel, a file in one worker. A test therefore shares no file, port or name with
another file's tests. `make test ARGS="-n 0"` runs all in one process.
"""
