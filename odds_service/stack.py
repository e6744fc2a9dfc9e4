"""The place in the code where a thread is, with the Trio task that runs there."""

import sys
import sysconfig
from types import FrameType
from typing import Any, Final

from msgspec import Struct

MAX_FRAMES: Final = 20

_LIBRARY: Final = sysconfig.get_paths()["stdlib"]


class Place(Struct, frozen=True):
    """A place in the code.

    Attributes:
        task: The name of Trio's task, empty if none is known.
        where: The innermost function outside of Python's own library, `module:function:line`.
        stack: All functions from there outwards to the task's own, in the same form.
    """

    task: str = ""
    where: str = ""
    stack: tuple[str, ...] = ()

    def told(self) -> dict[str, Any]:
        """Return the fields of a log line."""
        return {"task": self.task, "where": self.where, "stack": list(self.stack)}


def place_of(thread: int) -> Place:
    """Return the place where another thread is now, by its identifier.

    Trio tells no other thread which task runs. Its loop holds the task in a local variable, so the
    name is found there; without it, the stack alone says where.
    """
    frame: FrameType | None = sys._current_frames().get(thread)
    frames: list[str] = []
    where = task = ""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", "?"))
        if module == "trio._core._run":
            task = getattr(frame.f_locals.get("task"), "name", "")
            if task:
                break
        text = f"{module}:{frame.f_code.co_name}:{frame.f_lineno}"
        library = frame.f_code.co_filename.startswith((_LIBRARY, "<frozen"))
        if not where and (not library or "site-packages" in frame.f_code.co_filename):
            where = text
        frames.append(text)
        frame = frame.f_back
    return Place(task, where or (frames[0] if frames else ""), tuple(frames[:MAX_FRAMES]))
