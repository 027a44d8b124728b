"""The rooms behind the door over real gRPC on a Unix socket: our types in, our types and our errors out."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.gateway.backends import (
    AlertWish,
    Condition,
    HistoryQuestion,
    Keys,
    ModelMetrics,
    ProfileChange,
    Session,
    SessionPage,
    SessionRef,
    Ticket,
    WarmUp,
)
from services.gateway.clients import GrpcPrediction, GrpcStockData, GrpcUsers
from services.gateway.replies import ServiceFailed
from services.shared.errors import Conflict, FieldError, InvalidInput, NotFound, TickroomError, TooMany, Unavailable
from services.shared.events import SessionRevoked, encode
from services.shared.rpc import prediction_pb2, stock_data_pb2, users_pb2
from services.shared.rpc.channel import serve
from services.shared.rpc.prediction_pb2_grpc import PredictionServicer, add_PredictionServicer_to_server
from services.shared.rpc.stock_data_pb2_grpc import StockDataServicer, add_StockDataServicer_to_server
from services.shared.rpc.users_pb2_grpc import UsersServicer, add_UsersServicer_to_server


class Rooms:
    """All three rooms at one address. asked: every request; fails: raised by every call.

    replies: by the type of the request; of a list each once.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[Any] = []
        self.fails: Exception | None = None
        self.replies: dict[type[Any], Any] = {}

    async def answer(self, request: Any) -> Any:
        self.asked.append(request)
        if self.fails is not None:
            raise self.fails
        reply = self.replies[type(request)]
        return reply.pop(0) if isinstance(reply, list) else reply


@pytest.fixture
async def rooms(tmp_path: Path) -> AsyncIterator[Rooms]:
    state = Rooms(f"unix:{tmp_path}/rooms")

    class Any_:
        def __getattribute__(self, name: str) -> Any:
            return lambda request, _context: state.answer(request)

    def register(server: Any) -> None:
        for add, servicer in (
            (add_StockDataServicer_to_server, StockDataServicer),
            (add_PredictionServicer_to_server, PredictionServicer),
            (add_UsersServicer_to_server, UsersServicer),
        ):
            add(type("Room", (Any_, servicer), {})(), server)

    async with serve(state.address, "rooms", register, token=None):
        yield state


@pytest.fixture
async def stock_data(rooms: Rooms) -> AsyncIterator[GrpcStockData]:
    client = GrpcStockData(rooms.address, None)
    yield client
    await client.close()


@pytest.fixture
async def prediction(rooms: Rooms) -> AsyncIterator[GrpcPrediction]:
    client = GrpcPrediction(rooms.address, None)
    yield client
    await client.close()


@pytest.fixture
async def users(rooms: Rooms) -> AsyncIterator[GrpcUsers]:
    client = GrpcUsers(rooms.address, None)
    yield client
    await client.close()


async def test_history_goes_there_and_back(rooms: Rooms, stock_data: GrpcStockData) -> None:
    bar = stock_data_pb2.Bar(date="2012-06-01", start="s", open=1, high=4, low=0.5, close=2, volume=9, source="replay")
    rooms.replies[stock_data_pb2.HistoryRequest] = stock_data_pb2.HistoryReply(
        symbol="AAPL", bars=[bar], next_page_token="n"
    )
    question = HistoryQuestion("Apple", "1d", "2012-01-01", "2012-06-01", True, 7, "p")
    found = await stock_data.history(question)
    (asked,) = rooms.asked
    assert (asked.symbol, asked.start, asked.end, asked.limit, asked.page_token) == (
        "Apple",
        "2012-01-01",
        "2012-06-01",
        7,
        "p",
    )
    assert asked.adjustment == stock_data_pb2.ADJUSTMENT_SPLIT
    assert not asked.before
    assert (found.symbol, found.next_page_token) == ("AAPL", "n")
    assert (found.bars[0].open, found.bars[0].high, found.bars[0].low, found.bars[0].close) == (1, 4, 0.5, 2)
    assert (found.bars[0].date, found.bars[0].start, found.bars[0].volume) == ("2012-06-01", "s", 9)


async def test_latest_prices_signals_and_tickers(
    rooms: Rooms, stock_data: GrpcStockData, prediction: GrpcPrediction
) -> None:
    price = stock_data_pb2.Price(symbol="AAPL", epoch="e", seq=5, event=b"price")
    signal = prediction_pb2.LatestSignal(symbol="AAPL", epoch="e", seq=4, event=b"signal")
    ticker = stock_data_pb2.Ticker(ticker="AAPL", sector="Tech", rows=3, first="a", last="b")
    rooms.replies[stock_data_pb2.LatestRequest] = stock_data_pb2.LatestReply(prices=[price])
    rooms.replies[prediction_pb2.LatestSignalsRequest] = prediction_pb2.LatestSignalsReply(signals=[signal])
    rooms.replies[stock_data_pb2.TickersRequest] = stock_data_pb2.TickersReply(tickers=[ticker])
    assert [(each.symbol, each.seq, each.event) for each in await stock_data.latest()] == [("AAPL", 5, b"price")]
    assert [each.event for each in await prediction.latest_signals(["AAPL"])] == [b"signal"]
    assert [(each.ticker, each.sector, each.rows) for each in await stock_data.tickers()] == [("AAPL", "Tech", 3)]


async def test_forecast_and_model_status(rooms: Rooms, prediction: GrpcPrediction) -> None:
    rooms.replies[prediction_pb2.PredictRequest] = prediction_pb2.PredictReply(
        ticker="AAPL",
        current_price=2,
        price_target=3,
        confidence=0.6,
        direction="bullish",
        time="t",
        horizon="1d",
        epoch="e",
        seq=7,
        bar_time="b",
    )
    metrics = prediction_pb2.ModelMetrics(val_mae=0.1, val_rmse=0.2, training_time=0.3, train_samples=4, val_samples=5)
    rooms.replies[prediction_pb2.ModelStatusRequest] = prediction_pb2.ModelStatusReply(
        ticker="AAPL", model_loaded=True, service_ready=True, model_type="lightgbm", metrics=metrics
    )
    forecast = await prediction.predict("AAPL", "")
    assert (forecast.current_price, forecast.price_target, forecast.direction) == (2, 3, "bullish")
    assert (forecast.epoch, forecast.seq, forecast.bar_time) == ("e", 7, "b")
    assert (await prediction.model_status("AAPL")).metrics == ModelMetrics(0.1, 0.2, 0.3, 4, 5)
    rooms.replies[prediction_pb2.ModelStatusRequest] = prediction_pb2.ModelStatusReply(ticker="AAPL")
    assert (await prediction.model_status("AAPL")).metrics is None


async def test_warm_up(rooms: Rooms, prediction: GrpcPrediction) -> None:
    rooms.replies[prediction_pb2.WarmupStatusRequest] = prediction_pb2.WarmupStatusReply(started_at=1.5)
    assert await prediction.warm_up() == WarmUp(1.5, None, None, 0, 0, [])
    rooms.replies[prediction_pb2.WarmupStatusRequest] = prediction_pb2.WarmupStatusReply(
        started_at=1.5, completed_at=4.0, duration_s=2.5, models_loaded=8, models_trained=2, errors=["lost"]
    )
    assert await prediction.warm_up() == WarmUp(1.5, 4.0, 2.5, 8, 2, ["lost"])


async def test_an_alert_keeps_what_is_absent_absent(rooms: Rooms, users: GrpcUsers) -> None:
    rooms.replies[users_pb2.CreateAlertRequest] = users_pb2.Alert(
        id="a", version=2, status="active", symbol="AAPL", conditions=[users_pb2.Condition(type="new_high")]
    )
    wish = AlertWish(
        "AAPL",
        [Condition("less_than", 5.0), Condition("new_high", None)],
        "once",
        0,
        0.0,
        None,
        None,
        ["websocket"],
        "k",
    )
    made = await users.create_alert("u1", wish)
    (asked,) = rooms.asked
    assert (asked.user_id, asked.idempotency_key, list(asked.channels)) == ("u1", "k", ["websocket"])
    assert [each.HasField("threshold") for each in asked.conditions] == [True, False]
    assert not asked.HasField("expires_at")
    assert not asked.HasField("message")
    assert (made.id, made.version, made.conditions) == ("a", 2, [Condition("new_high", None)])
    assert (made.expires_at, made.message) == (None, None)


async def test_accounts_and_keys(rooms: Rooms, users: GrpcUsers) -> None:
    login = users_pb2.LoginReply(user_id="u1", name="Ada", email="a@b.c", access_token="t", expires_in=9)
    rooms.replies[users_pb2.RegisterRequest] = rooms.replies[users_pb2.LoginRequest] = login
    rooms.replies[users_pb2.KeysRequest] = users_pb2.KeysReply(
        keys=[users_pb2.PublicKey(kid="k", ed25519=b"raw")], issuer="i", audience="a", token_ttl_s=60
    )
    rooms.replies[users_pb2.GetProfileRequest] = users_pb2.Profile(user_id="u1", preferences_json="{}")
    rooms.replies[users_pb2.VerifyRequest] = users_pb2.VerifyReply(user_id="u1")
    assert (await users.register("Ada", "a@b.c", "secret", "1.2.3.4")).user_id == "u1"
    assert (await users.login("a@b.c", "secret", "1.2.3.4")).access_token == "t"
    assert [each.client for each in rooms.asked] == ["1.2.3.4", "1.2.3.4"]
    assert await users.keys() == Keys({"k": b"raw"}, "i", "a", 60)
    assert (await users.profile("u1")).preferences == "{}"
    assert await users.verify("t") == "u1"


async def test_a_registration_and_a_login_say_who_and_with_what(rooms: Rooms, users: GrpcUsers) -> None:
    rooms.replies[users_pb2.RegisterRequest] = rooms.replies[users_pb2.LoginRequest] = users_pb2.LoginReply()
    await users.register("Ada", "a@b.c", "secret", "1.2.3.4", device="curl", idempotency_key="k")
    await users.login("a@b.c", "secret", "1.2.3.4", device="curl")
    registered, logged_in = rooms.asked
    assert (registered.device, registered.idempotency_key, logged_in.device) == ("curl", "k", "curl")


async def test_logins_and_tickets(rooms: Rooms, users: GrpcUsers) -> None:
    mine = SessionRef("u1", "s1", 3, "operator", 1_777_777_777)
    ref = users_pb2.SessionRef(user_id="u1", session_id="s1", version=3, role="operator", expires_at=1_777_777_777)
    session = users_pb2.Session(id="s1", device="curl", created_at="c", last_used_at="l")
    rooms.replies = {
        users_pb2.RefreshRequest: users_pb2.LoginReply(user_id="u1", refresh_token="next"),
        users_pb2.LogoutRequest: users_pb2.LogoutReply(),
        users_pb2.ListSessionsRequest: users_pb2.ListSessionsReply(sessions=[session], next_page_token="n"),
        users_pb2.IssueTicketRequest: users_pb2.IssueTicketReply(ticket="t", expires_in=30),
        users_pb2.RedeemTicketRequest: [ref, users_pb2.SessionRef(user_id="u1", role="unheard-of")],
        users_pb2.CheckSessionsRequest: users_pb2.CheckSessionsReply(valid=[True, False]),
    }
    assert (await users.refresh("token", "1.2.3.4")).refresh_token == "next"
    await users.logout("u1", "s1", everywhere=True)
    assert rooms.asked[-1] == users_pb2.LogoutRequest(user_id="u1", session_id="s1", everywhere=True)
    assert await users.sessions("u1", 5, "p") == SessionPage([Session("s1", "curl", "c", "l")], "n")
    assert await users.issue_ticket(mine) == Ticket("t", 30)
    assert rooms.asked[-1].session == ref
    assert await users.redeem_ticket("t") == mine
    assert (await users.redeem_ticket("t")).role == "user"
    assert await users.check_sessions([mine, mine]) == [True, False]
    assert list(rooms.asked[-1].sessions) == [ref, ref]


async def test_revocations_of_all_pages(rooms: Rooms, users: GrpcUsers) -> None:
    ended = [
        SessionRevoked(id=str(n), user_id="u1", session_id="s", version=0, timestamp="2012-06-01T20:00:00Z")
        for n in range(3)
    ]
    events = [encode(each) for each in ended]
    rooms.replies[users_pb2.ListRevocationsRequest] = [
        users_pb2.ListRevocationsReply(events=events[:2], next_page_token="2"),
        users_pb2.ListRevocationsReply(events=events[2:]),
    ]
    assert await users.revocations() == ended
    assert [each.page_token for each in rooms.asked] == ["", "2"]


async def test_a_change_of_an_account_says_what_is_given_alone(rooms: Rooms, users: GrpcUsers) -> None:
    rooms.replies[users_pb2.UpdateProfileRequest] = users_pb2.Profile(user_id="u1", name="")
    await users.update_profile("u1", ProfileChange(name="", preferences="{}"), "1.2.3.4")
    (asked,) = rooms.asked
    given = [name for name in ("name", "email", "password", "preferences_json") if asked.HasField(name)]
    assert given == ["name", "preferences_json"]
    assert (asked.user_id, asked.client, asked.current_password) == ("u1", "1.2.3.4", "")


async def test_pages_of_alerts_and_notifications(rooms: Rooms, users: GrpcUsers) -> None:
    alert = users_pb2.Alert(id="a", symbol="AAPL", expires_at="t", message="m")
    stored = users_pb2.StoredNotification(id="n", event=b"{}", read=True)
    rooms.replies[users_pb2.ListAlertsRequest] = users_pb2.ListAlertsReply(alerts=[alert], next_page_token="next")
    rooms.replies[users_pb2.AlertRequest] = alert
    rooms.replies[users_pb2.ListNotificationsRequest] = users_pb2.ListNotificationsReply(notifications=[stored])
    rooms.replies[users_pb2.AckNotificationsRequest] = users_pb2.AckNotificationsReply(marked=3)
    page = await users.alerts("u1", 5, "token")
    assert (page.alerts[0].expires_at, page.alerts[0].message, page.next_page_token) == ("t", "m", "next")
    assert (await users.alert("u1", "a")).id == "a"
    found = await users.notifications("u1", unread_only=True, limit=5, page_token="")
    assert [(each.id, each.event, each.read) for each in found.notifications] == [("n", b"{}", True)]
    assert await users.ack_notifications("u1", ["n"], "") == 3
    rooms.replies[users_pb2.AlertRequest] = users_pb2.DeleteAlertReply()
    await users.delete_alert("u1", "a")
    assert rooms.asked[-1].alert_id == "a"


@pytest.mark.parametrize(
    "error",
    [
        NotFound("no such symbol", code="unknown_symbol"),
        InvalidInput("bad", code="bad_dates", errors=(FieldError("start", "no date"),)),
        Conflict("taken", code="email_taken"),
        TooMany("slowly", retry_after_s=12.5),
    ],
)
async def test_our_errors_survive_the_trip(rooms: Rooms, stock_data: GrpcStockData, error: TickroomError) -> None:
    rooms.fails = error
    with pytest.raises(type(error)) as raised:
        await stock_data.tickers()
    assert (raised.value.code, raised.value.detail) == (error.code, error.detail)
    assert (raised.value.errors, raised.value.retry_after_s) == (error.errors, error.retry_after_s)


async def test_a_bug_behind_is_a_failed_service_without_its_details(rooms: Rooms, stock_data: GrpcStockData) -> None:
    rooms.fails = RuntimeError("secret")
    with pytest.raises(ServiceFailed) as raised:
        await stock_data.tickers()
    assert "secret" not in raised.value.detail


async def test_a_room_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    client = GrpcUsers(f"unix:{tmp_path}/nobody", None)
    try:
        with pytest.raises(Unavailable):
            await asyncio.wait_for(client.login("a", "b", "c"), 10)
        assert not await client.healthy()
    finally:
        await client.close()


async def test_health_is_the_standard_one(
    stock_data: GrpcStockData, prediction: GrpcPrediction, users: GrpcUsers
) -> None:
    assert [await each.healthy() for each in (stock_data, prediction, users)] == [True, True, True]
