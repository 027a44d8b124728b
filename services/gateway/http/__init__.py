"""REST: routes by topic, the middleware around everything, and how bodies are read."""
