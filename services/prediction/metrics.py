"""What prediction counts and measures. Names begin with the room."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

SIGNALS: Final = Counter("prediction_signals", "Signals decided: one for each final bar", ["prediction", "reason"])
FOLDS: Final = Counter("prediction_folds", "Times that a symbol's state was made anew from history", ["why"])
MODEL_SECONDS: Final = Histogram(
    "prediction_model_seconds",
    "One call of the model, for all bars that became final together",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
)
TRAINING_SECONDS: Final = Histogram(
    "prediction_training_seconds", "Training of one model", buckets=(0.25, 0.5, 1, 2, 5, 10, 30, 60, 300)
)
MODELS: Final = Gauge("prediction_models", "Models loaded")
