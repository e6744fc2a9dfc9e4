"""Make the Python code for proto/ and keep the contract: `python -m tools.codegen`.

Without options the code in odds_service/wire/pb is written anew. `--check` writes nothing and fails
when the committed code is stale, when buf finds fault with the proto's style, or when the proto
breaks the one that was released last (proto/buf.yaml has the rules).
`--release` stores the present proto as the released one: done once for each release.
"""

import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

import typer
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

ROOT: Final = Path(__file__).resolve().parent.parent
PROTO: Final = ROOT / "proto"
RELEASED: Final = PROTO / "released" / "odds-v1.binpb"
GENERATED: Final = ROOT / "odds_service" / "wire" / "pb"
PACKAGE: Final = "odds_service.wire.pb"
RULES: Final = PROTO / "buf.yaml"


def proto_files(proto: Path) -> list[str]:
    """The paths of all .proto files below `proto`, relative to it, sorted."""
    return sorted(path.relative_to(proto).as_posix() for path in proto.rglob("*.proto"))


def run_protoc(proto: Path, *outputs: str) -> None:
    """Run protoc over all files below `proto`. Raises SystemExit when it fails."""
    well_known = resources.files("grpc_tools") / "_proto"
    # The plugins stand beside the interpreter, which need not be first on the path.
    beside = Path(sys.executable).parent
    plugins = [
        f"--plugin=protoc-gen-{name}={beside / f'protoc-gen-{name}'}"
        for name in ("mypy", "mypy_grpc")
    ]
    arguments = ["protoc", f"-I{proto}", f"-I{well_known}", *plugins, *outputs]
    if protoc.main([*arguments, *proto_files(proto)]) != 0:
        raise SystemExit("protoc failed; its message is above")


def descriptor_set(proto: Path) -> FileDescriptorSet:
    """Compile what is below `proto` together with the files it imports, without comments."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.binpb"
        run_protoc(proto, f"--descriptor_set_out={path}", "--include_imports")
        return FileDescriptorSet.FromString(path.read_bytes())


def inside_package(text: str, proto: Path) -> str:
    """Move imports from `odds.v1`, and the module names of classes, into PACKAGE.

    protoc writes them as if the proto's package lay at the top of the import path; a message with
    a wrong module name could not be pickled.
    """
    for name in proto_files(proto):
        package, _, stem = name.removesuffix(".proto").replace("/", ".").rpartition(".")
        text = text.replace(f"\nfrom {package} import ", f"\nfrom {PACKAGE}.{package} import ")
        text = text.replace(f"'{package}.{stem}_pb2'", f"'{PACKAGE}.{package}.{stem}_pb2'")
    return text


def generate(proto: Path) -> dict[str, str]:
    """Make the code: path relative to GENERATED -> text."""
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
    """The code as it is: path relative to `generated` -> text; its hand-written top is left out."""
    return {
        path.relative_to(generated).as_posix(): path.read_text("utf-8")
        for path in generated.rglob("*.py*")
        if path.suffix in {".py", ".pyi"} and path.parent != generated
    }


def stale_files(made: dict[str, str], there: dict[str, str]) -> list[str]:
    """The paths, sorted, that differ, are missing, or are no longer made."""
    return sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))


def write(made: dict[str, str], generated: Path) -> list[str]:
    """Bring `generated` up to date; returns the paths that were written or deleted."""
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
    """Return the lines in which buf says what is wrong; none where all is well."""
    command = [str(Path(sys.executable).parent / "buf"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


def style_faults(proto: Path) -> list[str]:
    """Return what is unusual in the proto, a line each. See `lint` in proto/buf.yaml."""
    return run_buf("lint", str(proto), "--config", str(RULES))


def breaking_changes(released: Path, present: Path) -> list[str]:
    """Return what breaks clients of a released descriptor set, a line each.

    Old clients talk to new servers and the other way round, in binary and in JSON.
    """
    return run_buf("breaking", str(present), "--against", str(released), "--config", str(RULES))


def problems(proto: Path, generated: Path, released: Path) -> list[str]:
    """What `--check` finds wrong, a line each."""
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
    release: Annotated[bool, typer.Option("--release", help="Keep as the released one.")] = False,
) -> None:
    """Make the Python code for proto/, or check it."""
    if check:
        found = problems(PROTO, GENERATED, RELEASED)
        for line in found:
            print(line)
        raise typer.Exit(1 if found else 0)
    for name in write(generate(PROTO), GENERATED):
        print(f"wrote {name}")
    if release:
        RELEASED.write_bytes(descriptor_set(PROTO).SerializeToString(deterministic=True))
        print(f"released {RELEASED.name}")


if __name__ == "__main__":
    typer.run(main)
