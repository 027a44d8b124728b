"""FRONT DOOR: REST and WebSocket rooms on one port.

http/               REST: routes by topic, and the middleware around every request and handshake
sockets.py          WebSocket: market_rooms.py, user_rooms.py, conversation.py
fanout.py           reads ticks, signals and notifications from Kafka into core/hall.py
core/               pure: rooms, outboxes, the wire
backends.py         what is asked of the rooms behind, as protocols; clients.py: the same over gRPC
replies.py          the one table: error -> HTTP problem or close code
app.py              puts it together; server.py: uvicorn, websocket_protocol.py: frames without copies
"""
