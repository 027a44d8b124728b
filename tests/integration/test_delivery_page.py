"""The page's part of Web Push, run by Node in a browser made by hand."""

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUBSCRIBE = ["subscribe", {"userVisibleOnly": True, "applicationServerKey": "BKey"}]


def test_a_click_subscribes_this_device_and_another_one_ends_it() -> None:
    command = ["node", str(Path(__file__).with_name("push_browser.mjs")), str(ROOT / "services/gateway/http/page")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["states"] == [
        [False, "Alerts on this device", ["websocket"]],
        [False, "No alerts on this device", ["websocket", "push"], ["websocket"]],
        [False, "Alerts on this device", ["websocket"], ["websocket"]],
    ]
    subscription = {"endpoint": "https://push.example.org/x", "keys": {"p256dh": "p", "auth": "a"}}
    assert said["did"] == [
        ["GET", "/api/v1/push-key"],
        ["register", "/push-worker.js"],
        SUBSCRIBE,
        ["unsubscribe"],
        SUBSCRIBE,
        ["POST", "/api/v1/channels", {"kind": "push", "subscription": subscription, "key": "BKey"}],
        ["unsubscribe"],
        ["DELETE", "/api/v1/channels/c1"],
    ]
    assert said["shown"] == [
        ["Tickroom", {"body": "AAPL", "tag": "n1"}],
        ["2 alerts", {"body": "a\nb", "tag": "d1"}],
        ["close"],
        ["open", "/"],
    ]
