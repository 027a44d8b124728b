"""What the page does with alerts, run by Node in a page made by hand."""

import json
import subprocess
from pathlib import Path

from services.gateway.http import pages
from tests.unit.gateway.http_fakes import EXPLAINED

ONE = "/api/v1/alerts/a1"


def test_an_alert_is_explained_changed_paused_and_deleted() -> None:
    folder = Path(pages.__file__).parent / "page"
    command = ["node", str(Path(__file__).with_name("page_alerts.mjs")), str(folder), EXPLAINED.decode()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["did"] == [
        ["GET", f"{ONE}/explain"],
        ["PATCH", ONE, {"conditions": [{"type": "crossing_up", "threshold": 160.5}]}],
        ["PATCH", ONE, {"snooze_s": 86400}],
        ["PATCH", ONE, {"paused": True}],
        ["PATCH", ONE, {"paused": False}],
        ["DELETE", ONE],
        ["DELETE", ONE],
    ]
    assert found["shown"] == {
        "lines": ["AAPL falls by 5 % within 60 s|active, fires once", "AAPL rises through 150.00|active, fires once"],
        "why": [
            "Armed: it fires as soon as this comes true.",
            "AAPL rises through 150.00: now 144.00, below 150.00, 6.00 (4.17 %) away.",
            "Last price seen: 144.00 at 2012-06-01 20:00, before that 140.00.",
        ],
        "focused": "input",
        "kept": "160.5",
        "changed": "AAPL rises through 160.50|active, fires once",
        "after": ["Edit", "false", True],
        "paused": "AAPL rises through 160.50|paused, fires once",
        "label": "Pause AAPL rises through 160.50",
        "problem": "there is no such alert",
        "left": 1,
        "next": "Edit AAPL rises through 150.00",
    }
