"""A real nginx with the configuration of docs/nginx.conf, and a certificate of its own."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.server import REPOSITORY
from tests.support.waiting import wait_until

PUBLISHED = REPOSITORY / "docs" / "nginx.conf"
AROUND = """
daemon off;
pid {directory}/pid;
error_log {directory}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  include {directory}/site.conf;
}}
"""


def has_nginx() -> bool:
    """Whether nginx and openssl are installed."""
    return shutil.which("nginx") is not None and shutil.which("openssl") is not None


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
async def nginx(directory: Path, *, upstream: str) -> AsyncIterator[tuple[str, Path]]:
    """Run nginx before the server at `upstream` (host:port): its URL, and the certificate to trust."""
    certificate, key = make_certificate(directory)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    site = PUBLISHED.read_text()
    for written, ours in {
        "127.0.0.1:8000": upstream,
        "listen 443": f"listen 127.0.0.1:{port}",
        "/etc/nginx/divisionbell.crt": str(certificate),
        "/etc/nginx/divisionbell.key": str(key),
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
        yield f"https://localhost:{port}", certificate
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
