"""What waits is delivered: once it is stored nothing is lost, storms become digests, quiet hours are quiet."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text, update

from services.shared.database import Database
from services.shared.events import AccountUpdated
from services.users.core.delivery import MOST_IN_DIGEST, SINGLES, Outcome
from services.users.delivery.sealing import Sealer
from services.users.delivery.worker import KEPT, LEASE
from services.users.store import channels
from services.users.tables import AccountRow
from tests.integration.delivery_house import Clock, Post, Recorder
from tests.unit.users.room import add_user, migrated, outbox, settings_of, until

BUSY = Outcome("http_503", 503)
BERLIN = '{"quiet_hours":{"from":"22:00","to":"07:00","timezone":"Europe/Berlin"}}'


@pytest.fixture
async def post(tmp_path: Path, database_url: str | None) -> AsyncIterator[Post]:
    async with migrated(settings_of(tmp_path, database_url)) as database:
        yield Post(database, await add_user(database))


async def test_a_notification_goes_over_the_channels_that_its_rule_names_and_no_others(post: Post) -> None:
    named, other = await post.channel(), await post.channel()
    (told,) = await post.fire(await post.rule("websocket", named.name))
    await post.fire(await post.rule("websocket"))
    (sent,) = await post.deliver()
    assert sent.id == told
    assert list(json.loads(sent.body)) == [
        "type", "id", "alert_id", "symbol", "condition", "threshold", "price", "message", "timestamp"
    ]  # fmt: skip
    assert [(each.message_id, each.status, each.attempt, each.code) for each in await post.log(named)] == [
        (told, "delivered", 1, 204)
    ]
    assert await post.log(other) == []
    assert await post.deliver() == []


async def test_the_same_firing_stored_again_is_not_delivered_again(post: Post) -> None:
    firing = post.firing(await post.rule((await post.channel()).name))
    for _ in range(2):
        await post.store([firing])
        await post.deliver()
    assert post.sends.ids == [firing.id]


async def test_what_failed_is_tried_again_under_the_same_id_until_it_is_taken(post: Post) -> None:
    channel = await post.channel()
    post.sends.ends = [BUSY, Outcome("timeout")]
    (told,) = await post.fire(await post.rule(channel.name))
    assert [each.id for each in await post.deliver()] == [told]
    assert (await post.look_at(channel.id)).failures == 1
    assert await post.deliver() == []
    post.clock.on(seconds=10)
    assert [each.id for each in await post.deliver()] == [told]
    post.clock.on(seconds=10)
    assert await post.deliver() == []  # the ceiling has doubled
    post.clock.on(seconds=10)
    assert [each.id for each in await post.deliver()] == [told]
    assert [(each.attempt, each.status, each.error) for each in await post.log(channel)] == [
        (1, "retrying", "http_503"),
        (2, "retrying", "timeout"),
        (3, "delivered", None),
    ]
    seen = await post.look_at(channel.id)
    assert (seen.failures, seen.failing_since) == (0, None)


async def test_a_receiver_that_asks_for_time_gets_it(post: Post) -> None:
    channel = await post.channel()
    post.sends.ends = [Outcome("http_429", 429, retry_after_s=600.0)]
    await post.fire(await post.rule(channel.name))
    await post.deliver()
    post.clock.on(seconds=599)
    assert await post.deliver() == []
    post.clock.on(seconds=1)
    assert len(await post.deliver()) == 1


async def test_after_a_day_of_failures_a_message_is_dead_its_channel_disabled_and_its_owner_told(post: Post) -> None:
    channel = await post.channel()
    post.sends.ends = [BUSY] * 1000
    (told,) = await post.fire(await post.rule(channel.name))
    for _ in range(25 * 60):
        await post.deliver()
        post.clock.on(minutes=1)
    assert set(post.sends.ids) == {told}
    log = await post.log(channel)
    assert [each.status for each in log] == ["retrying"] * (len(log) - 1) + ["dead"]
    assert 25 <= len(log) <= 60
    seen = await post.look_at(channel.id)
    assert (seen.enabled, seen.reason) == (False, "http_503")
    events = [each for each in await outbox(post.database) if isinstance(each, AccountUpdated)]
    assert [(each.event, each.user_id) for each in events] == [("channel_disabled", post.user)]
    await post.fire(await post.rule(channel.name))
    assert await post.deliver() == []


async def test_a_receiver_that_is_gone_is_not_asked_again(post: Post) -> None:
    channel = await post.channel()
    post.sends.ends = [Outcome("http_410", 410, gone=True)]
    rule = await post.rule(channel.name)
    await post.fire(rule)
    await post.deliver()
    assert (await post.look_at(channel.id)).reason == "http_410"
    async with post.database.transaction() as session:
        await channels.set_enabled(session, channel.id, enabled=True, reason=None, now="2024-09-21T12:00:00.000000Z")
    assert await post.deliver() == []  # what was dead stays dead
    await post.fire(rule)
    assert len(await post.deliver()) == 1


async def test_a_storm_becomes_one_digest_that_lists_each_firing(post: Post) -> None:
    channel = await post.channel()
    rule = await post.rule(channel.name)
    told = await post.fire(rule, SINGLES + 20)
    (sent,) = await post.deliver()
    digest = json.loads(sent.body)
    assert (digest["type"], digest["id"], digest["count"]) == ("digest", sent.id, SINGLES + 20)
    assert [each["id"] for each in digest["notifications"]] == told
    late = await post.fire(rule, 3)
    assert await post.deliver() == []  # that window has had its digest
    post.clock.on(seconds=60)
    assert [each.id for each in await post.deliver()] == late
    assert [(each.count, each.notification_id is None) for each in await post.log(channel)][:1] == [(25, True)]


async def test_more_than_a_digest_holds_are_several(post: Post) -> None:
    channel = await post.channel()
    told = await post.fire(await post.rule(channel.name), 2 * MOST_IN_DIGEST + 7)
    await post.deliver()
    post.clock.on(seconds=60)
    await post.deliver()
    digests = [json.loads(each.body) for each in post.sends.sent]
    assert [each["count"] for each in digests] == [MOST_IN_DIGEST, MOST_IN_DIGEST, 7]
    assert [one["id"] for each in digests for one in each["notifications"]] == told


async def test_a_few_notifications_go_one_by_one_and_the_next_ones_of_the_window_together(post: Post) -> None:
    channel = await post.channel()
    rule = await post.rule(channel.name)
    told = await post.fire(rule, SINGLES)
    assert [each.id for each in await post.deliver()] == told
    more = await post.fire(rule, 2)
    (sent,) = await post.deliver()
    assert [each["id"] for each in json.loads(sent.body)["notifications"]] == more


async def test_a_digest_that_failed_is_sent_again_as_it_was(post: Post) -> None:
    channel = await post.channel()
    rule = await post.rule(channel.name)
    post.sends.ends = [BUSY]
    told = await post.fire(rule, SINGLES + 1)
    (first,) = await post.deliver()
    await post.fire(rule, 1)
    post.clock.on(seconds=61)
    again, fresh = await post.deliver()
    assert again == first
    assert len(json.loads(again.body)["notifications"]) == len(told)
    assert json.loads(fresh.body)["type"] == "alert_triggered"


async def test_while_a_channel_is_broken_one_message_is_tried_and_the_rest_comes_as_a_digest_after_it(
    post: Post,
) -> None:
    channel = await post.channel()
    rule = await post.rule(channel.name)
    post.sends.ends = [BUSY] * 4
    first = await post.fire(rule, 3)
    await post.deliver()
    waiting = await post.fire(rule, 4)
    post.clock.on(seconds=10)
    assert len(await post.deliver()) == 1
    post.clock.on(seconds=20)
    await post.deliver()
    sent = [json.loads(each.body) for each in post.sends.sent[4:]]
    singles = [each["id"] for each in sent if each["type"] == "alert_triggered"]
    (digest,) = [each for each in sent if each["type"] == "digest"]
    assert sorted(singles) == sorted(first)
    assert [each["id"] for each in digest["notifications"]] == waiting


async def test_in_quiet_hours_nothing_goes_out_and_then_everything_together(post: Post) -> None:
    channel = await post.channel()
    rule = await post.rule(channel.name)
    await _prefer(post, BERLIN)
    post.clock.on(hours=9)  # 23:00 in Berlin
    evening = await post.fire(rule, 2)
    assert await post.deliver() == []
    night: list[str] = []
    while post.clock.now.hour != 5 or post.clock.now.minute:  # 07:00 in Berlin
        assert await post.deliver() == []
        if post.clock.now.minute == 0:
            night += await post.fire(rule)
        post.clock.on(minutes=10)
    (sent,) = await post.deliver()
    assert [each["id"] for each in json.loads(sent.body)["notifications"]] == evening + night
    morning = await post.fire(rule)
    post.clock.on(seconds=60)
    assert [each.id for each in await post.deliver()] == morning


async def test_quiet_hours_that_are_called_off_end_within_a_quarter_of_an_hour(post: Post) -> None:
    channel = await post.channel()
    await _prefer(post, BERLIN)
    post.clock.on(hours=9)
    await post.fire(await post.rule(channel.name))
    assert await post.deliver() == []
    await _prefer(post, "{}")
    post.clock.on(minutes=15)
    assert len(await post.deliver()) == 1


async def test_what_was_sent_before_a_crash_and_not_stored_is_sent_again_under_the_same_id(post: Post) -> None:
    channel = await post.channel()
    told = await post.fire(await post.rule(channel.name), SINGLES + 1)
    killed, never = post.deliverer(), asyncio.Event()
    post.sends.before = never.wait
    await killed.look()
    await until(lambda: _is(len(post.sends.sent) == 1))
    for turn in killed._turns:
        turn.cancel()
    await killed.settle()
    post.sends.before = None
    assert await post.deliver() == []  # its lease lasts
    post.clock.now += LEASE
    (sent,) = await post.deliver()
    assert sent.id == post.sends.ids[0]
    assert [each["id"] for each in json.loads(sent.body)["notifications"]] == told


async def test_a_process_that_starts_on_sqlite_waits_for_no_lease(tmp_path: Path) -> None:
    async with migrated(settings_of(tmp_path, None)) as database:
        post = Post(database, await add_user(database))
        channel = await post.channel()
        await post.fire(await post.rule(channel.name))
        killed = post.deliverer()
        post.sends.before = asyncio.Event().wait
        await killed.look()
        for turn in killed._turns:
            turn.cancel()
        await killed.settle()
        post.sends.before = None
        running = asyncio.create_task(post.deliverer().run())
        await until(lambda: _delivered(post))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_two_processes_work_on_different_channels_and_never_on_the_same_message(post: Post) -> None:
    rules = [await post.rule((await post.channel()).name) for _ in range(20)]
    for rule in rules:
        await post.fire(rule, 2)
    one, two = post.deliverer(), post.deliverer()
    await asyncio.gather(one.look(), two.look())
    await asyncio.gather(one.look(), two.look())
    await asyncio.gather(one.settle(), two.settle())
    await post.deliver()
    assert len(post.sends.ids) == len(set(post.sends.ids)) == 40


async def test_a_deleted_channel_ends_what_was_in_hand(post: Post) -> None:
    channel = await post.channel()
    await post.fire(await post.rule(channel.name), 3)

    async def delete() -> None:
        async with post.database.transaction() as session:
            await channels.delete_channel(session, post.user, channel.id)

    post.sends.before = delete
    assert len(await post.deliver()) == 1
    async with post.database.reading() as session:
        for table in ("deliveries", "delivery_attempts"):
            assert (await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one() == 0


async def test_a_sender_that_fails_unexpectedly_is_a_failed_attempt(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    channel = await post.channel()
    post.sends.ends = [RuntimeError("http://127.0.0.1:1/hook?key=path-secret")]
    await post.fire(await post.rule(channel.name))
    await post.deliver()
    assert [each.error for each in await post.log(channel)] == ["failed"]
    assert "RuntimeError" in caplog.text
    assert "path-secret" not in caplog.text


async def test_settings_move_to_a_new_secret_key_and_are_lost_with_an_unknown_one(post: Post) -> None:
    channel = await post.channel()
    rule = await post.rule(channel.name)
    post.sealer = Sealer("n" * 64, "s" * 64)
    await post.fire(rule)
    assert len(await post.deliver()) == 1
    post.sealer = Sealer("n" * 64, None)
    await post.fire(rule)
    assert len(await post.deliver()) == 1
    post.sealer = Sealer("x" * 64, None)
    await post.fire(rule)
    assert await post.deliver() == []
    assert (await post.look_at(channel.id)).reason == "secret_lost"


async def test_what_is_over_is_forgotten_after_a_month(post: Post) -> None:
    channel = await post.channel()
    await post.fire(await post.rule(channel.name))
    await post.deliver()
    await post.deliverer()._tidy()
    assert len(await post.log(channel)) == 1
    post.clock.now += KEPT
    post.clock.on(seconds=1)
    await post.deliverer()._tidy()
    assert await post.log(channel) == []


async def test_a_database_that_is_away_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with migrated(settings_of(tmp_path, None)) as database:
        post = Post(database, await add_user(database), Clock(), Recorder())
        channel = await post.channel()
        worker = post.deliverer()
        monkeypatch.setattr("services.users.delivery.worker._PAUSE_S", 0.01)
        monkeypatch.setattr(worker, "_every_s", 0.01)
        reading = Database.reading
        calls = 0

        def away(self: Database, *, brief: bool = False) -> object:
            nonlocal calls
            calls += 1
            if calls < 4:
                raise OSError("away")
            return reading(self, brief=brief)

        monkeypatch.setattr(Database, "reading", away)
        await post.fire(await post.rule(channel.name))
        running = asyncio.create_task(worker.run())
        await until(lambda: _delivered(post))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert calls >= 4


async def _prefer(post: Post, preferences: str) -> None:
    async with post.database.transaction() as session:
        await session.execute(update(AccountRow).where(AccountRow.id == post.user).values(preferences=preferences))


async def _delivered(post: Post) -> bool:
    return bool(post.sends.sent)


async def _is(true: bool) -> bool:
    return true
