"""Generates the typed gRPC stubs from `proto/` into this folder: `python -m services.shared.rpc.generate [--check]`.

`--check` changes nothing and fails when a checked-in stub differs from what its proto says.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
STUBS = Path(__file__).resolve().parent


def generate(into: Path) -> list[Path]:
    """Writes the stubs of every proto below `into` (as `services/shared/rpc/*`); returns their paths."""
    import grpc_tools
    from grpc_tools import protoc

    protos = sorted((ROOT / "proto").glob("*.proto"))
    # protoc maps this virtual path, so imports between stubs come out right without patching text
    arguments = [
        "protoc",
        f"-Iservices/shared/rpc={ROOT / 'proto'}",
        f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
    ]
    arguments += [f"--{kind}_out={into}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    arguments += [f"services/shared/rpc/{proto.name}" for proto in protos]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed")
    return sorted((into / "services/shared/rpc").glob("*_pb2*.py*"))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        fresh = {path.name: path.read_text() for path in generate(Path(folder))}
    present = {path.name: path.read_text() for path in STUBS.glob("*_pb2*.py*")}
    if "--check" in sys.argv:
        stale = sorted(name for name in fresh.keys() | present.keys() if fresh.get(name) != present.get(name))
        print(f"stale stubs: {', '.join(stale)}; run `make proto`" if stale else "stubs are up to date")  # noqa: T201 (a command)
        return 1 if stale else 0
    for name in present.keys() - fresh.keys():
        (STUBS / name).unlink()
    for name, text in fresh.items():
        (STUBS / name).write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
