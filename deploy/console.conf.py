"""gunicorn's settings for the HTTP API: `gunicorn --config deploy/console.conf.py "worker.console.app:application()"`.

Under gevent a long poll costs a greenlet and no thread. It listens on the loopback unless told otherwise.
"""

from __future__ import annotations

import os
import sys

from webhook import server

server.check_environment()
address = os.environ.get("CALLSHEET_CONSOLE_ADDRESS") or "127.0.0.1"
port = os.environ.get("CALLSHEET_CONSOLE_PORT") or "8001"
if not port.isdecimal() or not 0 < int(port) < 65536:
    sys.exit("callsheet: CALLSHEET_CONSOLE_PORT must be a port number")

bind = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
worker_class = "gevent"
workers = 1
worker_connections = 1000
keepalive = 5
graceful_timeout = 20
limit_request_line = 4094
limit_request_fields = 64
forwarded_allow_ips = ""
accesslog = None  # the application logs each request, by its route
control_socket_disable = True  # all servers of a user would share one path
