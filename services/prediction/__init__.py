"""STUDY: final bars -> features -> model -> buy, sell or hold, written to topic `signals`.

- core/: pure; indicators, features, labels, fitting, models, signals, scores
- worker.py: topic `ticks` in, signals out by publisher.py
- registry.py: which model decides at which instant; training.py where one is due, artifacts.py for its file
- store.py, tables.py: rows of models and latest signals
- rpc.py: Predict, LatestSignals, ModelStatus; clients.py: stock_data as this room sees it
"""
