"""`python -m services.prediction`: this room as a process of its own."""

from services.prediction.app import build
from services.prediction.config import Settings
from services.shared.process import run_room

if __name__ == "__main__":
    run_room(Settings, build)
