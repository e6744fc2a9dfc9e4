"""Make the generated code: `python -m tools.codegen`.

Without options it writes the Python code for proto/ to odds_service/wire/pb, the proto's comments
to odds_service/http/comments.json, and the synchronous client, which is made from the asynchronous
one. `--check` writes nothing and fails when committed
code is stale, when buf finds fault with the proto's style, or when the proto breaks the released
one (proto/buf.yaml has the rules). `--release` stores the present proto as the released one, once
for each release.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools import proto_comments, sync_client
from tools.codegen_environment import codegen_python

ROOT: Final = Path(__file__).resolve().parent.parent
PROTO: Final = ROOT / "proto"
RELEASED: Final = PROTO / "released" / "odds-v1.binpb"
GENERATED: Final = ROOT / "odds_service" / "wire" / "pb"
PACKAGE: Final = "odds_service.wire.pb"
CONTRACT: Final = "odds.v1"
RULES: Final = PROTO / "buf.yaml"


def proto_files(proto: Path) -> list[str]:
    """Return the paths of all .proto files below `proto`, relative to it, sorted."""
    return sorted(path.relative_to(proto).as_posix() for path in proto.rglob("*.proto"))


def run_protoc(proto: Path, *outputs: str) -> None:
    """Run protoc over all files below `proto`.

    Raises:
        SystemExit: protoc refuses a file, or its environment cannot be made.
    """
    python = codegen_python()
    plugins = [
        f"--plugin=protoc-gen-{name}={python.with_name(f'protoc-gen-{name}')}"
        for name in ("mypy", "mypy_grpc")
    ]
    protoc = [str(python), "-m", "grpc_tools.protoc", f"-I{proto}"]
    done = subprocess.run([*protoc, *plugins, *outputs, *proto_files(proto)], check=False)
    if done.returncode != 0:
        raise SystemExit("protoc failed; its message is above")


def descriptor_set(proto: Path, *, with_comments: bool = False) -> FileDescriptorSet:
    """Compile the files below `proto` and those that they import.

    Raises:
        SystemExit: A file does not compile.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.binpb"
        output = ["--as-file-descriptor-set", "-o", str(path)]
        bare = [] if with_comments else ["--exclude-source-info"]
        faults = run_buf("build", str(proto), *bare, *output)
        if faults:
            raise SystemExit("\n".join(["the proto does not compile:", *faults]))
        return FileDescriptorSet.FromString(path.read_bytes())


def inside_package(text: str, proto: Path) -> str:
    """Move imports from `odds.v1`, and the module names of classes, into PACKAGE.

    protoc writes both as if the proto's package lay at the top of the import path. A message with a
    wrong module name cannot be pickled.
    """
    for name in proto_files(proto):
        package, _, stem = name.removesuffix(".proto").replace("/", ".").rpartition(".")
        text = text.replace(f"\nfrom {package} import ", f"\nfrom {PACKAGE}.{package} import ")
        text = text.replace(f"'{package}.{stem}_pb2'", f"'{PACKAGE}.{package}.{stem}_pb2'")
    return text


def generate(proto: Path) -> dict[str, str]:
    """Return the Python code for the files below `proto`: path relative to GENERATED -> text."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        run_protoc(
            proto,
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            f"--mypy_out=quiet:{out}",
            f"--mypy_grpc_out=quiet:{out}",
        )
        files = {
            path.relative_to(out).as_posix(): inside_package(path.read_text("utf-8"), proto)
            for path in out.rglob("*.py*")
        }
    packages = {parent for name in files for parent in Path(name).parents if parent != Path()}
    return files | {(package / "__init__.py").as_posix(): "" for package in packages}


def committed(generated: Path) -> dict[str, str]:
    """Return the committed code: path relative to `generated` -> text.

    The top folder is left out: its __init__.py is written by hand.
    """
    return {
        path.relative_to(generated).as_posix(): path.read_text("utf-8")
        for path in generated.rglob("*.py*")
        if path.suffix in {".py", ".pyi"} and path.parent != generated
    }


def stale_files(made: dict[str, str], there: dict[str, str]) -> list[str]:
    """Return the paths, sorted, that differ, are missing, or are no longer made."""
    return sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))


def write(made: dict[str, str], generated: Path) -> list[str]:
    """Bring `generated` up to date; return the paths that were written or deleted."""
    stale = stale_files(made, committed(generated))
    for name in stale:
        path = generated / name
        if name in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[name], "utf-8")
        else:
            path.unlink()
    return stale


def run_buf(*arguments: str) -> list[str]:
    """Run buf; return its complaints, a line each, or nothing where all is well."""
    command = [str(Path(sys.executable).parent / "buf"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


def style_faults(proto: Path) -> list[str]:
    """Return the violations of `lint` in proto/buf.yaml, a line each."""
    return run_buf("lint", str(proto), "--config", str(RULES))


def breaking_changes(released: Path, present: Path) -> list[str]:
    """Return the changes that break clients of a released descriptor set, a line each.

    Old clients talk to new servers, and new clients to old servers, in binary and in JSON.
    """
    return run_buf("breaking", str(present), "--against", str(released), "--config", str(RULES))


def problems(proto: Path, generated: Path, released: Path) -> list[str]:
    """Return the problems of the proto and of its generated code, a line each."""
    found = [
        f"{name} is stale: run `make proto`"
        for name in stale_files(generate(proto), committed(generated))
    ]
    if not released.exists():
        return [*found, f"{released.name} is missing: nothing to hold the proto against"]
    return [*found, *style_faults(proto), *breaking_changes(released, proto)]


def main(
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if stale.")] = False,
    release: Annotated[
        bool, typer.Option("--release", help="Keep it as the released one.")
    ] = False,
) -> None:
    """Make the generated code, or check it."""
    if check:
        found = [
            *problems(PROTO, GENERATED, RELEASED),
            *proto_comments.problems(descriptor_set(PROTO, with_comments=True), CONTRACT),
            *sync_client.problems(),
        ]
        for line in found:
            print(line)
        raise typer.Exit(1 if found else 0)
    for name in write(generate(PROTO), GENERATED):
        print(f"wrote {name}")
    for name in proto_comments.write(descriptor_set(PROTO, with_comments=True), CONTRACT):
        print(f"wrote {name}")
    for name in sync_client.write():
        print(f"wrote {name}")
    if release:
        RELEASED.write_bytes(descriptor_set(PROTO).SerializeToString(deterministic=True))
        print(f"released {RELEASED.name}")


if __name__ == "__main__":
    typer.run(main)
