"""ENTRANCE: quotes come in here, become numbered ticks and bars, and go out on topic `ticks`."""
