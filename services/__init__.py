"""Tickroom's house: four rooms that never import each other, and what they share.

    stock_data/   ENTRANCE    quotes in: is this a tick? numbers it, keeps bars, writes topic `ticks`
    prediction/   STUDY       final bars -> features -> model -> buy/sell/hold, writes topic `signals`
    users/        OFFICE      accounts, alert rules, firings, writes topic `notifications`
    gateway/      FRONT DOOR  REST and WebSocket rooms; reads all three topics, owns nothing
    shared/       what two or more rooms need; it knows no room

The rooms meet in Kafka, in gRPC and in `services/__main__.py`, which runs all four in one process. Each room has
`core/` (pure decisions), `app.py` (composition: `build(settings) -> App`), `config.py` and `__main__.py`.
"""
