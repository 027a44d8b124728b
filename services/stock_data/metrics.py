"""What operators see of the entrance."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

RECORDS: Final = Counter("stock_data_records", "Records that Kafka acknowledged, by type", ["type"])
REFUSED: Final = Counter("stock_data_refused_quotes", "Quotes that are no ticks, by reason", ["reason"])
BARS_STORED: Final = Counter("stock_data_bars_stored", "Bars written to the database, history included")
READER_LAG: Final = Gauge("stock_data_reader_lag", "Records the slowest partition of a reader is behind", ["reader"])
WAITING: Final = Counter("stock_data_waiting_seconds", "Time that the feed stood still for readers with state")
CLOCK: Final = Gauge("stock_data_clock_seconds", "The feed's clock: UNIX time of its last record, in the data's time")
PUBLISH_SECONDS: Final = Histogram("stock_data_publish_seconds", "From handing a batch to Kafka to its last ack")
EPOCHS: Final = Counter("stock_data_epochs", "Epochs begun by this process")
