"""The rooms behind the door, over gRPC. Nothing else in the gateway sees protobuf or a gRPC error."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

from services.gateway.account_clients import SAFE_TO_REPEAT, GrpcAccounts
from services.gateway.alert_reports import PreviewWish
from services.gateway.backends import (
    Alert,
    AlertChange,
    AlertPage,
    AlertWish,
    Bar,
    Cause,
    Condition,
    Forecast,
    History,
    HistoryQuestion,
    Keys,
    LatestEvent,
    Login,
    ModelMetrics,
    ModelSkill,
    ModelStatus,
    NotificationDetail,
    NotificationPage,
    Profile,
    ProfileChange,
    Revocation,
    Role,
    Session,
    SessionPage,
    SessionRef,
    StoredNotification,
    Ticker,
    Ticket,
    WarmUp,
)
from services.gateway.calls import answer as _answer
from services.gateway.channel_client import SAFE_TO_REPEAT as _SAFE_OF_CHANNELS
from services.gateway.channel_client import GrpcChannels
from services.shared.events import SessionRevoked, decode_notification
from services.shared.rpc import prediction_pb2, stock_data_pb2, users_pb2
from services.shared.rpc.channel import is_healthy, open_channel
from services.shared.rpc.prediction_pb2_grpc import PredictionStub
from services.shared.rpc.stock_data_pb2_grpc import StockDataStub
from services.shared.rpc.users_pb2_grpc import UsersStub

_HASHING_DEADLINE_S: Final = 15.0  # password hashes wait their turn behind a semaphore


class GrpcStockData:
    """`backends.StockData` at `address`."""

    def __init__(self, address: str, token: str | None) -> None:
        service = stock_data_pb2.DESCRIPTOR.services_by_name["StockData"].full_name
        self._channel = open_channel(
            address, token=token, service=service, safe=("History", "Latest", "Tickers", "FeedStatus")
        )
        self._stub = StockDataStub(self._channel)

    async def history(self, question: HistoryQuestion) -> History:
        adjustment = stock_data_pb2.ADJUSTMENT_SPLIT if question.split_adjusted else stock_data_pb2.ADJUSTMENT_RAW
        reply = await _answer(
            self._stub.History(
                stock_data_pb2.HistoryRequest(
                    symbol=question.symbol,
                    timeframe=question.timeframe,
                    start=question.start,
                    end=question.end,
                    adjustment=adjustment,
                    limit=question.limit,
                    page_token=question.page_token,
                )
            )
        )
        bars = [
            Bar(bar.date, bar.start, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.source)
            for bar in reply.bars
        ]
        return History(reply.symbol, bars, reply.next_page_token)

    async def latest(self, symbols: Sequence[str] = ()) -> Sequence[LatestEvent]:
        reply = await _answer(self._stub.Latest(stock_data_pb2.LatestRequest(symbols=symbols)))
        return [LatestEvent(each.symbol, each.epoch, each.seq, each.event) for each in reply.prices]

    async def tickers(self) -> Sequence[Ticker]:
        reply = await _answer(self._stub.Tickers(stock_data_pb2.TickersRequest()))
        return [Ticker(each.ticker, each.sector, each.rows, each.first, each.last) for each in reply.tickers]

    async def healthy(self) -> bool:
        return await is_healthy(self._channel)

    async def close(self) -> None:
        await self._channel.close()


class GrpcPrediction:
    """`backends.Prediction` at `address`."""

    def __init__(self, address: str, token: str | None) -> None:
        service = prediction_pb2.DESCRIPTOR.services_by_name["Prediction"].full_name
        self._channel = open_channel(
            address, token=token, service=service, safe=("Predict", "LatestSignals", "ModelStatus", "WarmupStatus")
        )
        self._stub = PredictionStub(self._channel)

    async def predict(self, ticker: str, horizon: str) -> Forecast:
        reply = await _answer(self._stub.Predict(prediction_pb2.PredictRequest(ticker=ticker, horizon=horizon)))
        return Forecast(
            ticker=reply.ticker,
            current_price=reply.current_price,
            price_target=reply.price_target,
            confidence=reply.confidence,
            direction=reply.direction,
            time=reply.time,
            horizon=reply.horizon,
            model=reply.model,
            epoch=reply.epoch,
            seq=reply.seq,
            bar_time=reply.bar_time,
        )

    async def latest_signals(self, symbols: Sequence[str] = ()) -> Sequence[LatestEvent]:
        reply = await _answer(self._stub.LatestSignals(prediction_pb2.LatestSignalsRequest(symbols=symbols)))
        return [LatestEvent(each.symbol, each.epoch, each.seq, each.event) for each in reply.signals]

    async def model_status(self, ticker: str) -> ModelStatus:
        reply = await _answer(self._stub.ModelStatus(prediction_pb2.ModelStatusRequest(ticker=ticker)))
        status = ModelStatus(reply.ticker, reply.model_loaded, reply.service_ready, reply.model_type, None)
        if not reply.HasField("metrics"):
            return status
        found = reply.metrics
        metrics = ModelMetrics(
            found.val_mae, found.val_rmse, found.training_time, found.train_samples, found.val_samples
        )
        skill = ModelSkill(
            count=found.val_samples,
            hit_rate=found.hit_rate,
            hit_rate_interval=(found.hit_rate_low, found.hit_rate_high),
            baseline_hit_rate=found.baseline_hit_rate,
            mae=found.val_mae,
            baseline_mae=found.baseline_mae,
        )
        return replace(status, metrics=metrics, model_version=reply.model_version, skill=skill)

    async def warm_up(self) -> WarmUp:
        reply = await _answer(self._stub.WarmupStatus(prediction_pb2.WarmupStatusRequest()))
        done = reply.HasField("completed_at")
        return WarmUp(
            started_at=reply.started_at,
            completed_at=reply.completed_at if done else None,
            duration_s=reply.duration_s if done else None,
            models_loaded=reply.models_loaded,
            models_trained=reply.models_trained,
            errors=list(reply.errors),
        )

    async def healthy(self) -> bool:
        return await is_healthy(self._channel)

    async def close(self) -> None:
        await self._channel.close()


_SAFE_TO_REPEAT: Final = (
    *_SAFE_OF_CHANNELS,
    "AckNotifications",
    "CheckSessions",
    "ExplainAlert",
    "GetAlert",
    "GetNotification",
    "GetProfile",
    "Keys",
    "ListAlerts",
    "ListNotifications",
    "ListRevocations",
    "ListSessions",
    "Logout",
    "PreviewAlert",
    "Refresh",
    "UpdateAlert",
    "Verify",
)


class GrpcUsers(GrpcAccounts, GrpcChannels):
    """`backends.Users` at `address`."""

    def __init__(self, address: str, token: str | None) -> None:
        service = users_pb2.DESCRIPTOR.services_by_name["Users"].full_name
        self._channel = open_channel(address, token=token, service=service, safe=(*_SAFE_TO_REPEAT, *SAFE_TO_REPEAT))
        self._stub = UsersStub(self._channel)

    async def register(
        self, name: str, email: str, password: str, client: str, *, device: str = "", idempotency_key: str = ""
    ) -> Login:
        wish = users_pb2.RegisterRequest(
            name=name, email=email, password=password, client=client, device=device, idempotency_key=idempotency_key
        )
        return _login(await _answer(self._stub.Register(wish, timeout=_HASHING_DEADLINE_S)))

    async def login(self, email: str, password: str, client: str, *, device: str = "") -> Login:
        wish = users_pb2.LoginRequest(email=email, password=password, client=client, device=device)
        return _login(await _answer(self._stub.Login(wish, timeout=_HASHING_DEADLINE_S)))

    async def refresh(self, refresh_token: str, client: str) -> Login:
        wish = users_pb2.RefreshRequest(refresh_token=refresh_token, client=client)
        return _login(await _answer(self._stub.Refresh(wish)))

    async def logout(self, user_id: str, session_id: str, *, everywhere: bool) -> bool:
        wish = users_pb2.LogoutRequest(user_id=user_id, session_id=session_id, everywhere=everywhere)
        return (await _answer(self._stub.Logout(wish))).ended

    async def sessions(self, user_id: str, limit: int, page_token: str) -> SessionPage:
        request = users_pb2.ListSessionsRequest(user_id=user_id, limit=limit, page_token=page_token)
        reply = await _answer(self._stub.ListSessions(request))
        found = [Session(each.id, each.device, each.created_at, each.last_used_at) for each in reply.sessions]
        return SessionPage(found, reply.next_page_token)

    async def issue_ticket(self, session: SessionRef) -> Ticket:
        reply = await _answer(self._stub.IssueTicket(users_pb2.IssueTicketRequest(session=_ref(session))))
        return Ticket(reply.ticket, reply.expires_in)

    async def redeem_ticket(self, ticket: str) -> SessionRef:
        reply = await _answer(self._stub.RedeemTicket(users_pb2.RedeemTicketRequest(ticket=ticket)))
        role: Role = "operator" if reply.role == "operator" else "user"
        return SessionRef(reply.user_id, reply.session_id, reply.version, role, reply.expires_at)

    async def check_sessions(self, sessions: Sequence[SessionRef]) -> Sequence[bool]:
        request = users_pb2.CheckSessionsRequest(sessions=map(_ref, sessions))
        return list((await _answer(self._stub.CheckSessions(request))).valid)

    async def revocations(self) -> Sequence[Revocation]:
        found: list[Revocation] = []
        page_token = ""
        while True:
            request = users_pb2.ListRevocationsRequest(page_token=page_token)
            reply = await _answer(self._stub.ListRevocations(request))
            events = map(decode_notification, reply.events)
            found += (each for each in events if isinstance(each, SessionRevoked))
            page_token = reply.next_page_token
            if not page_token:
                return found

    async def verify(self, access_token: str) -> str:
        reply = await _answer(self._stub.Verify(users_pb2.VerifyRequest(access_token=access_token)))
        return reply.user_id

    async def keys(self) -> Keys:
        reply = await _answer(self._stub.Keys(users_pb2.KeysRequest()))
        by_kid = {key.kid: key.ed25519 for key in reply.keys}
        return Keys(by_kid, reply.issuer, reply.audience, reply.token_ttl_s)

    async def profile(self, user_id: str) -> Profile:
        return _profile(await _answer(self._stub.GetProfile(users_pb2.GetProfileRequest(user_id=user_id))))

    async def update_profile(self, user_id: str, change: ProfileChange, client: str) -> Profile:
        request = users_pb2.UpdateProfileRequest(
            user_id=user_id,
            name=change.name,
            email=change.email,
            password=change.password,
            current_password=change.current_password,
            preferences_json=change.preferences,
            client=client,
        )
        return _profile(await _answer(self._stub.UpdateProfile(request, timeout=_HASHING_DEADLINE_S)))

    async def create_alert(self, user_id: str, wish: AlertWish) -> Alert:
        return _alert(await _answer(self._stub.CreateAlert(_wish(wish, user_id))))

    async def change_alert(self, user_id: str, alert_id: str, change: AlertChange) -> Alert:
        request = users_pb2.UpdateAlertRequest(
            user_id=user_id, alert_id=alert_id, rule=_wish(change.wish), given=change.given, paused=change.paused
        )
        return _alert(await _answer(self._stub.UpdateAlert(request)))

    async def alerts(
        self, user_id: str, limit: int, page_token: str, *, symbol: str = "", status: str = ""
    ) -> AlertPage:
        request = users_pb2.ListAlertsRequest(
            user_id=user_id, limit=limit, page_token=page_token, symbol=symbol, status=status
        )
        reply = await _answer(self._stub.ListAlerts(request))
        return AlertPage([_alert(each) for each in reply.alerts], reply.next_page_token)

    async def alert(self, user_id: str, alert_id: str) -> Alert:
        return _alert(await _answer(self._stub.GetAlert(users_pb2.AlertRequest(user_id=user_id, alert_id=alert_id))))

    async def delete_alert(self, user_id: str, alert_id: str) -> None:
        await _answer(self._stub.DeleteAlert(users_pb2.AlertRequest(user_id=user_id, alert_id=alert_id)))

    async def explain_alert(self, user_id: str, alert_id: str) -> bytes:
        request = users_pb2.AlertRequest(user_id=user_id, alert_id=alert_id)
        return (await _answer(self._stub.ExplainAlert(request))).json

    async def preview_alert(self, user_id: str, wish: PreviewWish) -> bytes:
        prices = [users_pb2.PastPrice(time=time, price=price) for time, price in wish.prices or ()]
        request = users_pb2.PreviewAlertRequest(
            rule=_wish(wish.rule, user_id),
            start=wish.start,
            end=wish.end,
            given=wish.prices is not None,
            prices=prices,
        )
        return (await _answer(self._stub.PreviewAlert(request))).json

    async def notifications(
        self, user_id: str, *, unread_only: bool, limit: int, page_token: str, since: str = "", alert_id: str = ""
    ) -> NotificationPage:
        request = users_pb2.ListNotificationsRequest(
            user_id=user_id,
            unread_only=unread_only,
            limit=limit,
            page_token=page_token,
            since=since,
            alert_id=alert_id,
        )
        reply = await _answer(self._stub.ListNotifications(request))
        found = [StoredNotification(each.id, each.event, each.read) for each in reply.notifications]
        return NotificationPage(found, reply.next_page_token)

    async def notification(self, user_id: str, notification_id: str) -> NotificationDetail:
        request = users_pb2.NotificationRequest(user_id=user_id, notification_id=notification_id)
        reply = await _answer(self._stub.GetNotification(request))
        told = reply.notification
        cause = _cause(reply.cause) if reply.HasField("cause") else None
        return NotificationDetail(StoredNotification(told.id, told.event, told.read), cause)

    async def ack_notifications(self, user_id: str, ids: Sequence[str], up_to: str = "") -> int:
        request = users_pb2.AckNotificationsRequest(user_id=user_id, ids=ids, up_to=up_to)
        return (await _answer(self._stub.AckNotifications(request))).marked

    async def healthy(self) -> bool:
        return await is_healthy(self._channel)

    async def close(self) -> None:
        await self._channel.close()


def _login(reply: users_pb2.LoginReply) -> Login:
    return Login(
        user_id=reply.user_id,
        name=reply.name,
        email=reply.email,
        access_token=reply.access_token,
        expires_in=reply.expires_in,
        refresh_token=reply.refresh_token,
    )


def _profile(reply: users_pb2.Profile) -> Profile:
    return Profile(reply.user_id, reply.name, reply.email, reply.created_at, reply.preferences_json)


def _ref(session: SessionRef) -> users_pb2.SessionRef:
    return users_pb2.SessionRef(
        user_id=session.user_id,
        session_id=session.session_id,
        version=session.version,
        role=session.role,
        expires_at=session.expires_at,
    )


def _wish(wish: AlertWish, user_id: str = "") -> users_pb2.CreateAlertRequest:
    return users_pb2.CreateAlertRequest(
        user_id=user_id,
        symbol=wish.symbol,
        conditions=[users_pb2.Condition(**asdict(each)) for each in wish.conditions],
        trigger=wish.trigger,
        cooldown_s=wish.cooldown_s,
        hysteresis_pct=wish.hysteresis_pct,
        expires_at=wish.expires_at,
        message=wish.message,
        channels=wish.channels,
        idempotency_key=wish.idempotency_key,
        market_hours_only=wish.market_hours_only,
        snoozed_until=wish.snoozed_until,
        snooze_s=wish.snooze_s,
    )


def _condition(reply: users_pb2.Condition) -> Condition:
    return Condition(**{field.name: value for field, value in reply.ListFields()})


def _cause(reply: users_pb2.Cause) -> Cause:
    return Cause(
        alert_id=reply.alert_id,
        rule_version=reply.rule_version,
        symbol=reply.symbol,
        epoch=reply.epoch,
        seq=reply.seq,
        time=reply.time,
        price=reply.price,
        previous_price=reply.previous_price if reply.HasField("previous_price") else None,
        condition=reply.condition,
        threshold=reply.threshold if reply.HasField("threshold") else None,
        conditions=[_condition(each) for each in reply.conditions],
        trigger=reply.trigger,
        hysteresis_pct=reply.hysteresis_pct,
    )


def _alert(reply: users_pb2.Alert) -> Alert:
    return Alert(
        id=reply.id,
        version=reply.version,
        status=reply.status,
        symbol=reply.symbol,
        conditions=[_condition(each) for each in reply.conditions],
        trigger=reply.trigger,
        cooldown_s=reply.cooldown_s,
        hysteresis_pct=reply.hysteresis_pct,
        expires_at=reply.expires_at if reply.HasField("expires_at") else None,
        message=reply.message if reply.HasField("message") else None,
        channels=list(reply.channels),
        market_hours_only=reply.market_hours_only,
        snoozed_until=reply.snoozed_until if reply.HasField("snoozed_until") else None,
    )
