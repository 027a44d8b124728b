"""`python -m services.users`: this room as a process of its own."""

from services.shared.process import run_room
from services.users.app import build
from services.users.config import Settings

if __name__ == "__main__":
    run_room(Settings, build)
