"""Stands in for `services.gateway.worker`: shows its orders, says who it is to whoever connects, ends as it should.

    python worker_double.py MODE

`serve`; `deaf`: no signal ends it; `die`: it ends before it listens.
"""

import json
import os
import selectors
import signal
import socket
import sys
from typing import Any


def main(mode: str) -> None:
    orders: dict[str, Any] = json.loads(sys.stdin.readline())
    print(f"orders {json.dumps(orders)}", flush=True)
    if mode == "die":
        sys.exit(3)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "deaf" else lambda *_: sys.exit(0))
    listening = socket.socket(fileno=orders["listening"])
    listening.listen(128)
    host, port = listening.getsockname()
    print(f"listening on http://{host}:{port}", flush=True)
    waiting = selectors.DefaultSelector()
    waiting.register(listening, selectors.EVENT_READ)
    waiting.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is sys.stdin:
                sys.exit(0)
            caller, _ = listening.accept()
            caller.sendall(str(os.getpid()).encode())
            caller.close()


if __name__ == "__main__":
    main(sys.argv[1])
