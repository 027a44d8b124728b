"""gRPC between the rooms: stubs (checked in, see generate.py), channels and servers, errors as status codes."""
