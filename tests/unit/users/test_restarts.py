"""A process that dies at any moment and goes on from its last checkpoint fires what one fires that never stops."""

import random
from collections.abc import Sequence
from itertools import islice

import msgspec
import pytest

from services.shared.events import Record, Signal
from services.users.core.alerts import Alerts
from services.users.core.bars import Past
from services.users.core.condition import Source
from services.users.core.drafts import checked
from services.users.core.journal import Watch
from services.users.core.rules import RuleState
from tests.e2e.alert_market import AlertMarket, history, rules

_SYMBOLS = 10  # of one partition
_RECORDS = 4_000
_decode = msgspec.json.Decoder(RuleState).decode
_encode = msgspec.json.Encoder().encode

Fired = dict[tuple[str, int, bool], tuple[str, float]]


class Process:
    """The engine, with what its checkpoints have stored in place of a database."""

    def __init__(self, market: AlertMarket, symbols: Sequence[str], source: Source) -> None:
        self._market, self._symbols = market, symbols
        drafts = ((rule_id, checked(asked), asked.symbol) for rule_id, asked in rules() if asked.symbol in symbols)
        self._rules = {
            rule_id: Watch(draft.rule(rule_id, "somebody", symbol))
            for rule_id, draft, symbol in drafts
            if draft.source == source
        }
        self._states: dict[str, bytes] = {}
        self.fired: Fired = {}
        self.begin()

    def begin(self) -> None:
        """With what was stored, and nothing else."""
        self._alerts = Alerts(self._states)
        stored = (each for each in self._rules.values() if each.status == "active")
        self._alerts.load([Watch(each.rule, _decode(_encode(each.state))) for each in stored])
        for symbol in self._symbols:
            if days := self._alerts.looks_back(symbol)[0]:
                self._alerts.give(symbol, self._past(symbol, days + 1), ())
        self._begun = set(self._states)

    def take(self, record: Record | Signal) -> bool:
        """Has something fired?"""
        self._alerts.apply(record, new_epoch=record.symbol not in self._begun)
        self._begun.add(record.symbol)
        return bool(self._alerts.journal.firings)

    def checkpoint(self) -> None:
        journal = self._alerts.journal
        for each in journal.firings:
            self.fired.setdefault((each.rule.id, each.seq, each.silent), (each.time, each.price))
        for watch in journal.changed.values():
            self._rules[watch.rule.id] = msgspec.structs.replace(watch, state=_decode(_encode(watch.state)))
        self._states |= {symbol: self._alerts.state(symbol) for symbol in journal.moved}
        journal.clear()

    def _past(self, symbol: str, count: int) -> list[Past]:
        before = self._alerts.known_before(symbol)
        return [
            Past(each.end, each.high, each.low, each.volume) for each in history(self._market, symbol, before, count)
        ]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("source", ["prices", "signals"])
def test_a_restart_changes_nothing(seed: int, source: Source) -> None:
    chance, market = random.Random(seed), AlertMarket(seed)
    symbols = chance.sample(sorted({asked.symbol for _, asked in rules()}), _SYMBOLS)
    everything = islice(market.records(), _RECORDS * (4 if source == "prices" else 10))
    records = [
        each for each in everything if each.symbol in symbols and isinstance(each, Signal) == (source == "signals")
    ]
    whole, broken = Process(market, symbols, source), Process(market, symbols, source)
    for record in records:
        whole.take(record)
    whole.checkpoint()
    at = saved = 0
    while at < len(records):
        urgent = broken.take(records[at])
        at += 1
        if chance.random() < 0.02:  # before it could be stored
            broken.begin()
            at = saved
        elif urgent or chance.random() < 0.05:
            broken.checkpoint()
            saved = at
            if chance.random() < 0.2:
                broken.begin()
    broken.checkpoint()
    assert len(whole.fired) > 15
    assert broken.fired == whole.fired
