"""`python -m services.users`: this room as a process of its own; `create-operator EMAIL` makes an operator."""

import sys

from services.shared.process import run_room
from services.users import operators
from services.users.app import build
from services.users.config import Settings

if __name__ == "__main__":
    sys.exit(operators.main(sys.argv[1:])) if sys.argv[1:] else run_room(Settings, build)
