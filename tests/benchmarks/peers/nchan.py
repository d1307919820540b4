"""nginx with nchan, the C module that fans messages out to EventSource clients: it passes bytes on, and that is all."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.benchmarks.installing import install_debian
from tests.benchmarks.peers.child import ChildPeer, free_port
from tests.benchmarks.wire import data

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
CONFIGURATION = """
load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {directory}/pid;
error_log stderr error;
events {{ worker_connections {files}; multi_accept on; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  nchan_shared_memory_size 256M;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    keepalive_requests 100000;
    location = /publish {{
      nchan_publisher;
      nchan_channel_id feed;
      nchan_message_buffer_length 1000;
      nchan_message_timeout 1m;
    }}
    location = /graphql {{
      nchan_subscriber eventsource;
      nchan_channel_id feed;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"""


class Nchan(ChildPeer):
    """One worker, messages in shared memory, one channel for all; each message an event `next` of the same bytes."""

    name = "nginx + nchan"
    opened_by = ": hi"

    def __init__(self) -> None:
        self._directory: Path | None = None

    async def start(self, core: int | None) -> None:
        """Start nginx in the foreground."""
        await install_debian("nginx", ["nginx-light", "libnginx-mod-nchan"], present=_present)
        self._directory = Path(tempfile.mkdtemp(prefix="divisionbell-nchan-"))
        self.port = free_port()
        path = self._directory / "nginx.conf"
        path.write_text(CONFIGURATION.format(module=MODULE, directory=self._directory, port=self.port, files=19_500))
        await self.spawn([shutil.which("nginx") or "/usr/sbin/nginx", "-c", path, "-p", self._directory], core)

    def requests(self, count: int) -> list[bytes]:
        """EventSource's own request: all are alike."""
        return [b"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"] * count

    async def publish(self, first: int, count: int) -> None:
        """One POST each, on one connection."""
        headers = "X-EventSource-Event: next\r\nContent-Type: application/json\r\n"
        await self.post("/publish", [data(sequence) for sequence in range(first, first + count)], headers)

    def processes(self) -> Sequence[psutil.Process]:
        """The worker; the master only waits."""
        return [child for master in super().processes() for child in master.children()]

    async def stop(self) -> None:
        """Its files too."""
        await super().stop()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None


def _present() -> bool:
    return MODULE.exists()
