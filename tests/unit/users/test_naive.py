"""Random rules over random records: the engine's firings are those of the naive evaluator.

python -m tests.unit.users.test_naive [RULES [TICKS [SEED]]]      10,000 rules over 100,000 ticks, some minutes
"""

import random
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain

import msgspec
import pytest

from services.shared.events import Bar, Tick
from services.users.core.alerts import Alerts
from services.users.core.journal import Watch
from services.users.core.rules import Rule, RuleState, looks_back
from tests.unit.users.naive import evaluate
from tests.unit.users.random_rules import records, rules


def fired(made: Sequence[Rule], told: Sequence[Tick | Bar]) -> list[tuple[str, str, int]]:
    """What the engine makes of it, sorted."""
    engine, begun = Alerts(), set[str]()
    engine.add(Watch(each) for each in made)
    for record in told:
        engine.apply(record, new_epoch=record.symbol not in begun)
        begun.add(record.symbol)
    return sorted((each.rule.id, each.epoch, each.seq) for each in engine.journal.firings)


@pytest.mark.parametrize("seed", range(4))
def test_firings_equal_the_naive_evaluators(seed: int) -> None:
    rng, symbols = random.Random(seed), ["AAPL", "IBM", "MSFT"]
    made, told = rules(rng, 300, symbols), records(rng, 900, symbols)
    expected = evaluate(made, told)
    assert len(expected) > 500
    assert fired(made, told) == expected


def test_the_order_of_symbols_does_not_matter() -> None:
    rng, symbols = random.Random(7), ["AAPL", "IBM", "MSFT"]
    made, told = rules(rng, 200, symbols), records(rng, 600, symbols)
    one_by_one = sorted(told, key=lambda record: record.symbol)
    assert fired(made, one_by_one) == fired(made, told)


def test_no_second_firing_without_a_rearm() -> None:
    """Between two firings of a state its conditions have been false; of an event, it has happened anew."""
    rng, symbols = random.Random(11), ["AAPL"]
    made, told = rules(rng, 200, symbols), records(rng, 600, symbols)
    twice = [*told[:300], *(_again(each) for each in told[299:300]), *told[300:]]
    assert fired(made, twice) == fired(made, told)


def _again(record: Tick | Bar) -> Tick | Bar:
    """The same price once more, a position of its own: it causes nothing."""
    return msgspec.structs.replace(record, seq=record.seq + 1_000_000)


def test_a_restart_changes_nothing() -> None:
    rng, symbols = random.Random(5), ["AAPL", "IBM"]
    made, told = rules(rng, 200, symbols), records(rng, 600, symbols)
    made = [each for each in made if not looks_back(each)]  # bars come from elsewhere after a restart
    expected, found = fired(made, told), list[tuple[str, str, int]]()
    stored = {each.id: Watch(each) for each in made}
    sides: dict[str, bytes] = {}
    for first in range(0, len(told), 37):
        engine = Alerts(sides)
        engine.load(Watch(each.rule, kept(each.state)) for each in stored.values())
        for record in told[first : first + 37]:
            engine.apply(record, new_epoch=record.symbol not in sides)
            sides[record.symbol] = b""
        found += [(each.rule.id, each.epoch, each.seq) for each in engine.journal.firings]
        for name, watch in engine.journal.changed.items():
            if watch.status == "active":
                stored[name] = watch
            else:
                stored.pop(name, None)
        sides = {symbol: engine.state(symbol) for symbol in symbols}
    assert sorted(found) == expected


def main(count: int = 10_000, ticks: int = 100_000, seed: int = 1) -> str | None:
    """Says what was compared; returns what is wrong. The naive evaluator is run on each symbol by itself."""
    rng, symbols = random.Random(seed), [f"S{number:03}" for number in range(100)]
    made, told = rules(rng, count, symbols), records(rng, ticks, symbols)
    rules_of = [[each for each in made if each.symbol == symbol] for symbol in symbols]
    records_of = [[each for each in told if each.symbol == symbol] for symbol in symbols]
    with ProcessPoolExecutor() as processes:
        expected = sorted(chain.from_iterable(processes.map(evaluate, rules_of, records_of)))
    print(f"{count:,} rules, {ticks:,} ticks: {len(expected):,} firings")
    return None if fired(made, told) == expected else "they differ"


def kept(state: RuleState) -> RuleState:
    """As it comes back from the database."""
    return msgspec.json.decode(msgspec.json.encode(state), type=RuleState)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:4])))
