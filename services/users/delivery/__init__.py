"""Delivery beyond the socket: the worker that sends what waits, and one sender for each kind of channel.

A notification and its deliveries are stored together, so nothing is lost; a message keeps its id at every attempt, so
its receiver can drop repeats.
"""
