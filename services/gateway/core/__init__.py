"""Pure decisions of the front door: what a frame is, who sits in which room, what waits for whom.

No clock, no sockets, no framework: callers hand in bytes and time, and get bytes and decisions back.
"""
