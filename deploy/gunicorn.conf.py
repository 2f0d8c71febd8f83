"""gunicorn's settings for the receiver: `gunicorn --config deploy/gunicorn.conf.py "webhook.wsgi:application()"`.

Why gevent. 250 connections that send their headers and 250 that send their
bodies at a byte per second held all threads of gthread, and of granian (which
bounds slow headers, not slow bodies): a good callback waited until it was given
up. Under gevent it is answered at once (tests/integration/webhook holds it to
that). Callbacks in flight together share one fsync of Redis; `make bench` says
how many are accepted per second.

What bounds clients that are slow, or never stop: `webhook/server.py`, and
`worker_connections`, which caps how many there are.
"""

from __future__ import annotations

import os
import sys

from webhook import server
from worker.errors import SettingsError

server.check_environment()
try:
    bind = server.address(os.environ)
    certfile, keyfile = server.tls_files(os.environ)
except SettingsError as err:
    sys.exit(f"callsheet: {err}")

worker_class = "webhook.server.Worker"
workers = 2
worker_connections = 1000
keepalive = server.HEADER_SECONDS
graceful_timeout = server.REQUEST_SECONDS
backlog = 1024
limit_request_line = 1024  # ours are below 200
limit_request_fields = 64
limit_request_field_size = 4096
forwarded_allow_ips = ""  # nothing here depends on what a proxy says of the client
accesslog = None  # it would hold paths, and they hold tokens
control_socket_disable = True  # all servers of a user would share one path
ssl_context = server.ssl_context
