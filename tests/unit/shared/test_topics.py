from services.shared.topics import READERS_WITH_STATE, TICKS, TOPICS, partition_of


def test_partitions_never_change() -> None:
    """A symbol that moved to another partition would leave its owner and its order: these are fixed for ever."""
    assert [partition_of(symbol, 64) for symbol in ("AAPL", "FB", "GOOG", "IBM", "MSFT")] == [28, 0, 28, 55, 59]


def test_every_topic_has_dead_letters_and_every_state_is_on_ticks() -> None:
    assert {topic.dead for topic in TOPICS} == {"ticks.dead", "signals.dead", "notifications.dead"}
    assert {reader.topic for reader in READERS_WITH_STATE} == {TICKS}
