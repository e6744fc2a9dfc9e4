"""A worker process; the service starts it, and nobody else has a use for it."""

from odds_service.workers.process import main

main()
