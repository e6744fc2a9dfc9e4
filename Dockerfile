# docker build -t odds-service .
# docker run -v "$PWD/odds.toml:/etc/odds/odds.toml:ro" -v odds:/var/lib/odds -p 50051:50051 odds-service
#
# In the settings, `listen = "0.0.0.0:50051"` is what a published port reaches; with it the server
# wants TLS, tokens, or `insecure_public = true`; so does `[metrics] listen = "0.0.0.0:9464"`. A
# relative SQLite path, and what a stop spills, lie in the volume.

FROM python:3.12-slim-trixie AS build
RUN python -m venv /opt/odds
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY odds_service ./odds_service
RUN /opt/odds/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ".[server,bus]"

FROM python:3.12-slim-trixie
# pg_dump and pg_restore, for `odds-service db backup`: no older than the server may be.
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-client-17 \
    && rm -rf /var/lib/apt/lists/*
# By number: Kubernetes cannot tell from a name that it is not root.
RUN groupadd --gid 10001 odds \
    && useradd --uid 10001 --gid odds --create-home --home-dir /var/lib/odds odds
COPY --from=build /opt/odds /opt/odds
ENV PATH=/opt/odds/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/odds
VOLUME /var/lib/odds
EXPOSE 50051 8050 9464
# SIGTERM drains the write queue; Docker kills after 10 s unless told otherwise
# (`docker stop --time 60`, `stop_grace_period: 60s`, `terminationGracePeriodSeconds: 60`).
STOPSIGNAL SIGTERM
# Where the server wants TLS, override it (`--health-cmd`) with the arguments for it.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["odds-service", "health"]
ENTRYPOINT ["odds-service"]
CMD ["serve", "--config", "/etc/odds/odds.toml"]
