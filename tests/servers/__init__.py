"""Real servers for the tests, started without Docker and without root: Apache Kafka, PostgreSQL, Redis.

Each is a child process on a free loopback port with a folder of its own, and is gone when the tests are.
"""
