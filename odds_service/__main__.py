"""The entry point of `odds-service` and of `python -m odds_service`."""

import gc
import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; `health` goes past everything that it does not need."""
    # Silences gRPC's own log lines: they say less than the error that follows them.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    if sys.argv[1:2] == ["health"]:
        from odds_service.errors import OddsServiceError
        from odds_service.health import ask_health

        try:
            ask_health(sys.argv[2:])
        except OddsServiceError as error:
            sys.exit(f"error: {error}")
        sys.exit(0)
    if sys.argv[1:2] == ["serve"]:
        from odds_service.early import remember_signals

        remember_signals()  # before the imports, which take a second or more
    # Nothing that an import makes is garbage: without collections a start takes a sixth less. The
    # command enables them again.
    gc.disable()
    from odds_service import cli

    cli.main()


if __name__ == "__main__":
    main()
