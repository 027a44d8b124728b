"""Technical indicators as small state machines: one value in, one value out, O(1) (amortised) whatever the span.

Each is a `msgspec.Struct`, so its state *is* its fields and goes to bytes and back exactly (`msgspec.msgpack` keeps all
64 bits of a float). `update` answers NaN until enough values have come. Where an indicator holds prices or volumes,
`scale(factor)` says that all values so far are to be read as multiplied by `factor` (a split).

Running sums are summed anew each time their ring has gone round once: rounding never piles up, and what came before
the last two windows leaves no trace.
"""

from math import fsum, nan, sqrt

import msgspec


class Window(msgspec.Struct):
    """The last `size` values. `update` answers the value that came `size` values before this one."""

    size: int
    values: list[float] = []
    at: int = 0  # place of the oldest value, once full

    def update(self, value: float) -> float:
        if len(self.values) < self.size:
            self.values.append(value)
            return nan
        at = self.at
        oldest = self.values[at]
        self.values[at] = value
        self.at = at + 1 if at + 1 < self.size else 0
        return oldest

    def back(self, steps: int) -> float:
        """The value `steps` updates ago; 0 is the newest. NaN where it is not held."""
        if steps >= len(self.values):
            return nan
        return self.values[self.at - 1 - steps]

    def scale(self, factor: float) -> None:
        self.values = [value * factor for value in self.values]


class Sma(msgspec.Struct):
    """Simple moving average: the mean of the last `span` values."""

    span: int
    values: list[float] = []
    at: int = 0
    total: float = 0.0

    def update(self, value: float) -> float:
        values = self.values
        if len(values) < self.span:
            values.append(value)
            self.total += value
            return self.total / self.span if len(values) == self.span else nan
        at = self.at
        self.total += value - values[at]
        values[at] = value
        if at + 1 < self.span:
            self.at = at + 1
        else:
            self.at = 0
            self.total = fsum(values)
        return self.total / self.span

    def scale(self, factor: float) -> None:
        self.values = [value * factor for value in self.values]
        self.total = fsum(self.values)


class Std(msgspec.Struct):
    """Population standard deviation of the last `span` values (meant for values near 0, like returns)."""

    span: int
    values: list[float] = []
    at: int = 0
    total: float = 0.0
    squares: float = 0.0

    def update(self, value: float) -> float:
        values = self.values
        if len(values) < self.span:
            values.append(value)
            self.total += value
            self.squares += value * value
            if len(values) < self.span:
                return nan
        else:
            at = self.at
            old = values[at]
            values[at] = value
            if at + 1 < self.span:
                self.at = at + 1
                self.total += value - old
                self.squares += value * value - old * old
            else:
                self.at = 0
                self.total = fsum(values)
                self.squares = fsum([held * held for held in values])
        mean = self.total / self.span
        variance = self.squares / self.span - mean * mean
        return sqrt(variance) if variance > 0.0 else 0.0


class Ema(msgspec.Struct):
    """Exponential moving average with weight 2 / (span + 1), seeded by the mean of the first `span` values."""

    span: int
    count: int = 0
    value: float = 0.0

    def update(self, value: float) -> float:
        if self.count < self.span:
            self.count += 1
            self.value += value
            if self.count < self.span:
                return nan
            self.value /= self.span
        else:
            self.value += (value - self.value) * (2.0 / (self.span + 1))
        return self.value

    def scale(self, factor: float) -> None:
        self.value *= factor


class Rsi(msgspec.Struct):
    """Wilder's relative strength index, 0-100; 50 where nothing moved at all (Wilder, 1978: smoothing by 1 / span)."""

    span: int
    count: int = 0
    previous: float = 0.0
    gain: float = 0.0
    loss: float = 0.0

    def update(self, value: float) -> float:
        change = value - self.previous
        self.previous = value
        if self.count == 0:
            self.count = 1
            return nan
        gain, loss = (change, 0.0) if change > 0.0 else (0.0, -change)
        if self.count <= self.span:
            self.count += 1
            self.gain += gain / self.span
            self.loss += loss / self.span
            if self.count <= self.span:
                return nan
        else:
            self.gain += (gain - self.gain) / self.span
            self.loss += (loss - self.loss) / self.span
        both = self.gain + self.loss
        return 100.0 * self.gain / both if both > 0.0 else 50.0

    def scale(self, factor: float) -> None:
        self.previous *= factor
        self.gain *= factor
        self.loss *= factor


class Volatility(msgspec.Struct):
    """Exponentially weighted volatility of log returns with mean 0 (RiskMetrics 1996: variance = decay x variance +
    (1 - decay) x return squared), seeded by the mean square of the first `seed` returns. Per bar, not annualised."""

    decay: float
    seed: int
    count: int = 0
    variance: float = 0.0

    def update(self, log_return: float) -> float:
        square = log_return * log_return
        if self.count < self.seed:
            self.count += 1
            self.variance += square / self.seed
            if self.count < self.seed:
                return nan
        else:
            self.variance = self.decay * self.variance + (1.0 - self.decay) * square
        return sqrt(self.variance)


class Highest(msgspec.Struct):
    """The highest of the last `span` values (the lowest: feed it negated values).

    Holds only the values that can still become the highest, falling, each with its number; `head` is the first that
    counts, so nothing is moved at most updates.
    """

    span: int
    count: int = 0
    head: int = 0
    numbers: list[int] = []
    values: list[float] = []

    def update(self, value: float) -> float:
        numbers, values = self.numbers, self.values
        while len(values) > self.head and values[-1] <= value:
            values.pop()
            numbers.pop()
        numbers.append(self.count)
        values.append(value)
        self.count += 1
        if numbers[self.head] <= self.count - 1 - self.span:
            self.head += 1
            if self.head > self.span:
                del numbers[: self.head], values[: self.head]
                self.head = 0
        return values[self.head] if self.count >= self.span else nan

    def scale(self, factor: float) -> None:
        self.values = [value * factor for value in self.values]
