"""A worker process; the service starts it, and nobody else has a use for it."""

import gc

# As in the service's own: nothing that an import makes is garbage, and modules stay.
gc.disable()
from odds_service.workers.process import main  # noqa: E402  # collections are off before it

gc.freeze()
gc.enable()
main()
