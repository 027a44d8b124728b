"""The front door as a process of its own: `python -m services.gateway`."""

from services.gateway.app import door
from services.gateway.config import Settings
from services.shared.process import run_room

if __name__ == "__main__":
    run_room(Settings, door)
