"""A real nginx with the configuration of docs/nginx.conf, and a certificate of its own."""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.server import REPOSITORY, ServerProcess
from tests.support.waiting import wait_until

PUBLISHED = REPOSITORY / "docs" / "nginx.conf"
AROUND = """
daemon off;
pid {directory}/pid;
error_log {directory}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  log_format answered '$server_protocol $request_method $uri $status $upstream_status';
  access_log {directory}/access.log answered;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  include {directory}/site.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx: where it listens, its certificate with the key, and what it logs."""

    url: str
    certificate: Path
    key: Path
    log: Path

    def answered(self) -> list[str]:
        """What has ended, a line each: protocol, method, path, status, status of the server behind."""
        return self.log.read_text().splitlines()


@dataclass(frozen=True, slots=True)
class Way:
    """A running server, and how clients reach it: at its own address, or through nginx."""

    server: ServerProcess
    url: str
    cookie: str
    """The name of the one that may carry a token."""
    nginx: Nginx | None = None

    @property
    def trust(self) -> dict[str, str]:
        """Variables by which node and curl believe nginx's certificate."""
        if self.nginx is None:
            return {}
        return {"NODE_EXTRA_CA_CERTS": str(self.nginx.certificate), "CURL_CA_BUNDLE": str(self.nginx.certificate)}


def require_nginx() -> None:
    """Skip the test where nginx or openssl is missing; under CI, fail it."""
    if shutil.which("nginx") is None or shutil.which("openssl") is None:
        reason = "needs nginx and openssl: apt-get install nginx-light openssl"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    certificate, key = directory / "tls.crt", directory / "tls.key"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout", str(key), "-out", str(certificate),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return certificate, key


@asynccontextmanager
async def nginx(directory: Path, *upstreams: str, changed: Mapping[str, str] | None = None) -> AsyncIterator[Nginx]:
    """Run nginx before the servers at `upstreams` (host:port). `changed`: what is written, what it shall be."""
    require_nginx()
    certificate, key = make_certificate(directory)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    site = PUBLISHED.read_text()
    for written, ours in {
        "server 127.0.0.1:8000;": " ".join(f"server {upstream};" for upstream in upstreams),
        "listen 443": f"listen 127.0.0.1:{port}",
        "/etc/nginx/divisionbell.crt": str(certificate),
        "/etc/nginx/divisionbell.key": str(key),
        **(changed or {}),
    }.items():
        assert written in site
        site = site.replace(written, ours)
    (directory / "site.conf").write_text(site)
    (directory / "nginx.conf").write_text(AROUND.format(directory=directory))
    process = await asyncio.create_subprocess_exec(
        "nginx", "-p", str(directory), "-e", str(directory / "error.log"), "-c", str(directory / "nginx.conf"),
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip

    async def listens() -> bool:
        assert process.returncode is None, (directory / "error.log").read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await wait_until(listens, description="nginx listens", every=0.05)
        yield Nginx(f"https://localhost:{port}", certificate, key, directory / "access.log")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
