"""The sentences of the proto, and the table that names the tests of each sentence.

The table is `promises.txt`. A heading names a place (`# GetOdds` for a call, `# Cursor.epoch` for a
field). Each sentence of the place is a line, and the ids of its tests are indented below it. A
sentence that promises nothing a program could observe has `- ` and the reason instead.

`python -m tests.contract.sentences` prints the sentences that the table lacks, in its format.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
PROTO: Final = ROOT / "proto" / "odds" / "v1" / "odds.proto"
TABLE: Final = Path(__file__).with_name("promises.txt")

FILE: Final = "odds.proto"  # the place of comments above the first declaration

_DECLARATION: Final = re.compile(
    r"(?:(?P<kind>service|message|enum|oneof|rpc)\s+(?P<name>\w+)"
    r"|(?:(?:repeated|optional)\s+)?(?P<field>[\w.<>, ]+?)?\s*\b(?P<member>\w+)\s*=\s*\d+)"
)
_OPTIONS: Final = ("option ", "syntax ", "import ", "package ")
_END: Final = re.compile(r"(?<=[.…])\)?\s+(?=[A-Z`Σ0-9])")


class Sentence(NamedTuple):
    """A sentence of a comment; `place` is the path of the declaration below the comment."""

    place: str
    text: str


class Promise(NamedTuple):
    """A row of the table: the tests of a sentence, or the reason why it can have none."""

    tests: tuple[str, ...]
    untestable: str


def sentences(proto: str) -> Iterator[Sentence]:
    """Yield the sentences of all comments of a proto, in order."""
    path: list[str] = []
    comment: list[str] = []
    seen_any = False
    for line in proto.splitlines():
        text = line.strip()
        if text.startswith("//"):
            comment.append(text[2:].removeprefix(" "))
            continue
        declared = None if text.startswith(_OPTIONS) else _DECLARATION.match(text)
        if declared is not None:
            name = declared["name"] or declared["member"]
            place = ".".join(part for part in [*path, name] if part)
            yield from (Sentence(place, each) for each in split(comment))
            seen_any = True
            if declared["kind"] and text.endswith("{"):
                # The fields of a oneof belong to its message.
                path.append("" if declared["kind"] == "oneof" else name)
        elif not seen_any:
            yield from (Sentence(FILE, each) for each in split(comment))
        comment = []  # a comment above an empty line is the heading of a section
        if text == "}":
            path.pop()


def split(comment: Iterable[str]) -> list[str]:
    """Split a comment into sentences; an empty line or a bullet ends one."""
    paragraphs: list[str] = []
    for line in comment:
        if not line.strip():
            paragraphs.append("")
        elif line.startswith(" - "):
            paragraphs.append(line[3:].strip())
        elif paragraphs:
            paragraphs[-1] = f"{paragraphs[-1]} {line.strip()}".strip()
        else:
            paragraphs.append(line.strip())
    whole = [part for paragraph in paragraphs for part in _END.split(paragraph) if part]
    return [part for part in whole if not set(part) <= {"-"}]


def promises(table: str) -> Mapping[Sentence, Promise]:
    """Read the table. Raises ValueError for a repeated line, or one that belongs to no sentence."""
    found: dict[Sentence, Promise] = {}
    place, current = "", None
    for number, line in enumerate(table.splitlines(), 1):
        if not line.strip() or line.startswith("##"):
            continue
        if line.startswith("# "):
            place, current = line[2:].strip(), None
        elif not line.startswith(" "):
            current = Sentence(place, line.strip())
            if current in found:
                raise ValueError(f"line {number}: {current} stands there twice")
            found[current] = Promise((), "")
        elif current is None:
            raise ValueError(f"line {number}: above it stands no sentence")
        else:
            tests, untestable = found[current]
            text = line.strip()
            found[current] = (
                Promise(tests, text[2:]) if text.startswith("- ") else
                Promise((*tests, text), untestable)
            )  # fmt: skip
    return found


def main() -> None:
    """Print the sentences that only the proto has, and those that only the table has."""
    told = promises(TABLE.read_text("utf-8")) if TABLE.exists() else {}
    spoken = list(sentences(PROTO.read_text("utf-8")))
    place = ""
    for sentence in spoken:
        if sentence in told:
            continue
        if sentence.place != place:
            place = sentence.place
            sys.stdout.write(f"\n# {place}\n")
        sys.stdout.write(f"{sentence.text}\n")
    for sentence in told.keys() - set(spoken):
        sys.stdout.write(f"\n## gone: {sentence.place}: {sentence.text}\n")


if __name__ == "__main__":
    main()
