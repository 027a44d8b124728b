"""Benchmarks: each prints a table. See docs/benchmarks.md."""

import os

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # before gRPC is imported; else it tells of every process we start
