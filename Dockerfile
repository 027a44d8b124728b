# One image for every service: the command says which (`python -m services.gateway`). Without one it runs all of them in
# one process, with Kafka embedded: docker run -p 127.0.0.1:8000:8000 -v tickroom:/data tickroom
FROM python:3.12-slim AS build

COPY requirements.lock .
RUN python -m venv /venv \
    && /venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r requirements.lock \
    && /venv/bin/pip uninstall --quiet --yes pip

COPY services /app/services
COPY deploy/health.py /app/health.py
RUN /venv/bin/python -m compileall -q /app/services


FROM python:3.12-slim

# LightGBM's OpenMP, the one thing that no wheel carries
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin tickroom \
    && install --directory --owner tickroom --mode 0700 /data

COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
USER tickroom

ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DATA_DIR=/data \
    HOST=0.0.0.0 \
    PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --start-interval=2s --retries=3 CMD ["python", "/app/health.py"]
CMD ["python", "-m", "services"]
