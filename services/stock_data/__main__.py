"""`python -m services.stock_data`: the entrance as a process of its own."""

from services.shared.process import run_room
from services.stock_data.app import build
from services.stock_data.config import Settings

run_room(Settings, build)
