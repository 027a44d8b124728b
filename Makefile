# `make run` and `make test` need Python 3.11+ with pip (or uv) and make their own .venv from the locks.
# Settings are environment variables (.env.example lists them): `PORT=9000 make run` or `make run PORT=9000`.

PY := $(or $(VENV),.venv)/bin/python
JOBS ?= 2
COMPOSE = docker compose

.DEFAULT_GOAL := help
.PHONY: help run operator test test-quick check bench proto lock up down restart docker run-venv dev-venv
MAKEFLAGS += --no-print-directory

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

run: run-venv ## the whole system in one process, with real prices and nothing else to install
	@exec $(PY) -m services

operator: run-venv ## EMAIL=...: makes an operator, from an account or anew
	@exec $(PY) -m services.users create-operator "$(EMAIL)"

test: dev-venv ## every test, on servers that it brings itself; on Apache Kafka where Java and Maven are, with Node where npm is
	@! command -v java >/dev/null || ! command -v mvn >/dev/null || $(PY) -m tests.servers.kafka
	@! command -v npm >/dev/null || $(MAKE) clients/typescript/node_modules
	@exec $(PY) -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

test-quick: dev-venv ## unit tests only
	@exec $(PY) -m pytest -q tests/unit $(ARGS)

check: dev-venv ## style, types, import rules, and that stubs, locks and docker-compose.yml are right
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(dir $(PY))lint-imports --no-logo
	PATH="$(dir $(PY)):$$PATH" $(PY) -m services.shared.rpc.generate --check
	$(PY) .ci/lock.py --check
	$(PY) -m check_jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	sh -n .ci/venv
	bash -n .ci/run

bench: dev-venv ## benchmarks: fan-out to sockets, ticks through prediction and alerts
	@for each in tests/bench/bench_*.py; do $(PY) -m tests.bench.$$(basename $$each .py) $(ARGS) || exit 1; done

proto: dev-venv ## typed gRPC stubs from proto/
	@PATH="$(dir $(PY)):$$PATH" $(PY) -m services.shared.rpc.generate

lock: ## requirements*.lock from pyproject.toml (UPGRADE=1: newer versions)
	@$(or $(PYTHON),python3) .ci/lock.py

up: docker ## the four services, Kafka, PostgreSQL and Redis in containers
	$(COMPOSE) up --detach --build --wait

down: docker ## stop them; their data stays
	$(COMPOSE) down

restart: docker ## restart the four services
	$(COMPOSE) restart stock_data prediction users gateway

clients/typescript/node_modules: clients/typescript/package-lock.json
	@npm ci --prefix clients/typescript --no-progress --loglevel=error
	@touch $@

run-venv:
	@sh .ci/venv run

dev-venv:
	@sh .ci/venv dev

docker:
	@$(COMPOSE) version >/dev/null 2>&1 || { echo "needs Docker with Compose 2: https://docs.docker.com/engine/install/"; exit 1; }
	@test -f .env || { echo "needs .env with its secrets: cp .env.example .env, then fill in what it marks as required"; exit 1; }
