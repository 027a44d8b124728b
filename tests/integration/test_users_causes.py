"""Why a rule fired and why it did not, what it would have done, and what was read: over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from services.gateway.http.alert_reports import ExplanationShown, PreviewShown
from services.shared.errors import Conflict, InvalidInput, NotFound
from services.shared.rpc import users_pb2 as pb
from tests.integration.users_house import House, fails, register, wish
from tests.unit.users.room import until
from tests.unit.users.ticks import at, tick

if TYPE_CHECKING:
    from services.shared.rpc.users_pb2_grpc import UsersAsyncStub  # stands in the type stub alone


async def told(users: UsersAsyncStub, user_id: str, **asked: object) -> list[pb.StoredNotification]:
    return list((await users.ListNotifications(pb.ListNotificationsRequest(user_id=user_id, **asked))).notifications)  # type: ignore[arg-type]


async def has_told(users: UsersAsyncStub, user_id: str, count: int) -> bool:
    return len(await told(users, user_id)) == count


async def test_a_firing_names_its_record_and_the_rule_as_it_was(house: House, users: UsersAsyncStub) -> None:
    ada, bob = (await register(users)).user_id, (await register(users, "bob")).user_id
    rule = await users.CreateAlert(wish(ada, hysteresis_pct=1.0, message="{symbol} at {price}"))
    await house.publish(tick(1, 149.0), tick(2, 151.0))
    await until(lambda: has_told(users, ada, 1))
    change = pb.CreateAlertRequest(conditions=[pb.Condition(type="less_than", threshold=1.0)])
    await users.UpdateAlert(pb.UpdateAlertRequest(user_id=ada, alert_id=rule.id, rule=change, given=["conditions"]))
    [notification] = await told(users, ada)
    assert b'"message":"AAPL at 151.00"' in notification.event
    found = await users.GetNotification(pb.NotificationRequest(user_id=ada, notification_id=notification.id))
    assert found.notification == notification
    cause = found.cause
    assert (cause.alert_id, cause.rule_version, cause.symbol) == (rule.id, 1, "AAPL")
    assert (cause.epoch, cause.seq, cause.time) == ("epoch-1", 2, at(2))
    assert (cause.price, cause.previous_price, cause.condition, cause.threshold) == (151.0, 149.0, "crossing_up", 150.0)
    assert (list(cause.conditions), cause.trigger, cause.hysteresis_pct) == (list(rule.conditions), "every_time", 1.0)
    for user, which in ((bob, notification.id), (ada, rule.id), (ada, "nothing")):
        asked = pb.NotificationRequest(user_id=user, notification_id=which)
        assert isinstance(await fails(users.GetNotification(asked)), NotFound)


async def test_history_by_rule_and_instant_outlives_the_rule(house: House, users: UsersAsyncStub) -> None:
    ada = (await register(users)).user_id
    first, second = await users.CreateAlert(wish(ada)), await users.CreateAlert(wish(ada, threshold=160.0))
    await house.publish(tick(1, 149.0), tick(2, 151.0), tick(3, 161.0))
    await until(lambda: has_told(users, ada, 2))
    await users.DeleteAlert(pb.AlertRequest(user_id=ada, alert_id=first.id))
    one, two = await told(users, ada)
    assert await told(users, ada, alert_id=first.id) == [one]
    assert await told(users, ada, alert_id=second.id) == [two]
    assert await told(users, ada, since="2024-09-20T13:30:03Z") == [two]
    assert await told(users, ada, since="2024-09-20T13:30:02Z", limit=1) == [one]
    await users.AckNotifications(pb.AckNotificationsRequest(user_id=ada, ids=[two.id]))
    assert [each.id for each in await told(users, ada, unread_only=True)] == [one.id]  # on any other device


async def test_a_key_whose_rule_was_deleted_makes_no_other(users: UsersAsyncStub) -> None:
    ada = (await register(users)).user_id
    made = await users.CreateAlert(wish(ada, idempotency_key="k"))
    await users.DeleteAlert(pb.AlertRequest(user_id=ada, alert_id=made.id))
    error = await fails(users.CreateAlert(wish(ada, idempotency_key="k")))
    assert (type(error), error.code) == (Conflict, "idempotency_key_reused")


async def test_why_it_has_not_fired(house: House, users: UsersAsyncStub) -> None:
    ada, bob = (await register(users)).user_id, (await register(users, "bob")).user_id
    rule = await users.CreateAlert(wish(ada, "greater_than", hysteresis_pct=2.0))
    asked = pb.AlertRequest(user_id=ada, alert_id=rule.id)
    before = msgspec.json.decode((await users.ExplainAlert(asked)).json)
    assert (before["state"], before["position"], before["why_not"]) == ("armed", None, ["no_price_yet", "condition_0"])
    await house.publish(tick(1, 151.0), tick(2, 148.0))
    await until(lambda: seen(users, asked, 2))
    told_as_json = (await users.ExplainAlert(asked)).json
    found = msgspec.json.decode(told_as_json)
    assert msgspec.to_builtins(msgspec.json.decode(told_as_json, type=ExplanationShown)) == found  # as documented
    assert found["position"] == {"epoch": "epoch-1", "seq": 2}
    assert (found["alert_id"], found["version"], found["status"]) == (rule.id, 1, "active")
    assert (found["state"], found["latched"], found["would_fire"]) == ("latched", True, False)
    assert (found["last_price"], found["conditions"][0]["rearms_at"]) == (148.0, 147.0)
    assert isinstance(await fails(users.ExplainAlert(pb.AlertRequest(user_id=bob, alert_id=rule.id))), NotFound)


async def test_bars_and_silences_are_explained_by_what_stock_data_knows(house: House, users: UsersAsyncStub) -> None:
    conditions = [pb.Condition(type="new_high", days=2), pb.Condition(type="stale", after_s=60)]
    ada = (await register(users)).user_id
    rule = await users.CreateAlert(pb.CreateAlertRequest(user_id=ada, symbol="AAPL", conditions=conditions))
    asked = pb.AlertRequest(user_id=ada, alert_id=rule.id)
    await house.publish(tick(1, 151.0))
    await until(lambda: seen(users, asked, 1))
    high, silence = msgspec.json.decode((await users.ExplainAlert(asked)).json)["conditions"]
    assert (high["holds"], high["line"]) == (False, None)  # there are no days before
    assert (silence["holds"], silence["value"], silence["line"]) == (True, 99.0, 60.0)  # at(1) to the feed's at(100)


async def seen(users: UsersAsyncStub, asked: pb.AlertRequest, seq: int) -> bool:
    found = msgspec.json.decode((await users.ExplainAlert(asked)).json)
    return bool(found["position"] and found["position"]["seq"] == seq)


async def test_a_preview_over_prices_of_ones_own(users: UsersAsyncStub) -> None:
    prices = [pb.PastPrice(time=at(number), price=price) for number, price in enumerate((149.0, 151.0, 149.0, 150.0))]
    rule = wish("", message="now {price}")
    told_as_json = (await users.PreviewAlert(pb.PreviewAlertRequest(rule=rule, given=True, prices=prices))).json
    found = msgspec.json.decode(told_as_json)
    assert msgspec.to_builtins(msgspec.json.decode(told_as_json, type=PreviewShown)) == found  # as documented
    assert [(each["time"], each["price"], each["message"]) for each in found["firings"]] == [
        (at(1), 151.0, "now 151.00"),
        (at(3), 150.0, "now 150.00"),
    ]
    assert (found["symbol"], found["more"], found["prices"]) == ("AAPL", False, 4)
    for request, family in (
        (pb.PreviewAlertRequest(rule=wish("", symbol="NOPE"), given=True), NotFound),
        (pb.PreviewAlertRequest(rule=wish("", threshold=-1.0), given=True), InvalidInput),
        (pb.PreviewAlertRequest(rule=rule, given=True, prices=[*reversed(prices)]), InvalidInput),
        (pb.PreviewAlertRequest(rule=rule, given=True, prices=[pb.PastPrice(time="now", price=1)]), InvalidInput),
        (pb.PreviewAlertRequest(rule=rule, given=True, prices=[pb.PastPrice(time=at(0), price=0)]), InvalidInput),
        (pb.PreviewAlertRequest(rule=rule, given=True, prices=[prices[0]] * 10_001), InvalidInput),
        (pb.PreviewAlertRequest(rule=wish("", "confidence_above", 0.5), given=True), InvalidInput),
    ):
        assert isinstance(await fails(users.PreviewAlert(request)), family)
