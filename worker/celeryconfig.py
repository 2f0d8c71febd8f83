"""Celery's settings, each with its reason; facts and issue numbers are in the design's reliability notes.

The record in Redis is the truth and a message only a nudge, so what matters here
is that workers come back after every fault, not that no message is ever lost.
"""

import os
import ssl
from urllib.parse import urlsplit

from kombu import Exchange, Queue

from worker import providers
from worker.errors import SettingsError
from worker.jobs.timing import DAY
from worker.messaging.signatures import sign_messages
from worker.messaging.ticks import every
from worker.settings.redis_urls import in_celerys_words
from worker.settings.settings import Settings

try:
    _settings = Settings.from_env(os.environ)
    providers.build(_settings)  # what only the adapters can judge: names of fields, of models in a price list
except SettingsError as err:
    # one line instead of Celery's traceback; `worker.client` checks before it comes here
    raise SystemExit(f"callsheet: {err}") from None

if _settings.message_secrets:
    sign_messages(_settings.message_secrets[0])

broker_url, _broker_by = in_celerys_words(_settings.broker_url)
result_backend, _results_by = in_celerys_words(_settings.result_backend)
result_expires = int(_settings.retention_days * DAY)
result_chord_expires = result_expires  # shorter, and a chord whose parts take minutes dies silently
result_extended = False  # arguments, and with them prompts, stay out of the result backend

accept_content = ["json"]
task_serializer = result_serializer = event_serializer = "json"

# Every message is validated before Celery acts on it: a poison message would end the worker.
worker_consumer = "worker.messaging.inbound:Inbox"

# Over TLS a certificate is wanted, for the very name: kombu would take any (rediss) or any that is valid (amqps),
# and Celery's backend would not start. What the URL itself says (?ssl_ca_certs=...) stands.
_wanted = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
broker_use_ssl = {
    "rediss": _wanted,
    "amqps": {"server_hostname": None, "context": {"check_hostname": True}},  # None: the URL's
}.get(urlsplit(broker_url).scheme)
redis_backend_use_ssl = _wanted if result_backend.startswith("rediss") else None

_AMQP = broker_url.startswith("amqp")
_arguments = {"x-queue-type": "quorum"} if _AMQP else {}
task_queues = [
    Queue(name, Exchange(name), routing_key=name, queue_arguments=_arguments)
    for name in ("callsheet", "callsheet.archive", "callsheet.sweep")
]
task_default_queue = "callsheet"

# Internal tasks are acknowledged when they start (the due index repeats what is lost);
# only `generate`, which may carry a job that is not recorded yet, sets acks_late itself.
task_acks_late = False
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1
worker_cancel_long_running_tasks_on_connection_loss = False  # a kill in the middle of a POST costs money
worker_soft_shutdown_timeout = 20.0  # with REMAP_SIGTERM=SIGQUIT; a POST takes seconds, a copy is repeated
worker_enable_soft_shutdown_on_idle = False  # nothing here has an ETA: an idle worker ends at once
worker_max_tasks_per_child = 10_000
worker_max_memory_per_child = 400_000  # KiB
worker_hijack_root_logger = True
worker_redirect_stdouts = False
worker_send_task_events = True  # Flower; the internal tasks switch theirs off

broker_heartbeat = 20  # a connection to RabbitMQ that carries nothing any more is found out in a minute, not in three
broker_connection_retry = True
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # the default gives up after 100 tries and stops the worker
broker_channel_error_retry = True
broker_pool_limit = 10  # connections to the broker that one process sends by; whoever comes then waits
broker_pool_acquire_timeout = 5
task_publish_retry = False  # a nudge that cannot be sent is dropped: the job is due already
# Whoever sends to a dead broker is told at once: kombu would try for seconds, and every step sends nudges.
_give_up_soon = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}
broker_transport_options = (
    # py-amqp waits for ever, unless told otherwise, for the answer of a broker that hangs
    {**_give_up_soon, "confirm_publish": True, "read_timeout": 5, "write_timeout": 5}
    if _AMQP
    else {
        **_give_up_soon,
        **_broker_by,
        "client_name": "callsheet-messages",
        "visibility_timeout": 900,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "retry_on_timeout": False,
    }
)
result_backend_transport_options = {**_results_by, "retry_policy": {"max_retries": 1, "interval_start": 0.2}}
if _settings.result_prefix:
    # channels know no database: without it a neighbour's caller would be given our video for its own job of that id
    result_backend_transport_options["global_keyprefix"] = f"{_settings.result_prefix}:"
redis_client_name = "callsheet-results"  # of a process that has not said its kind (`celery.name_connections`)
redis_max_connections = _settings.redis_connections
redis_socket_timeout = 5.0
redis_socket_connect_timeout = 2.0
redis_retry_on_timeout = False
redis_backend_health_check_interval = 10

beat_scheduler = "worker.messaging.liveness:Scheduler"  # in memory: a tick that is missed or doubled is harmless
beat_schedule = {
    "sweep": {
        "task": "callsheet.sweep",
        "schedule": every(1.0),
        # one more try, for only then is beat's one connection made anew: without, a RabbitMQ that has been restarted
        # gets no tick any more, and no job that waits is ever looked at
        "options": {
            "queue": "callsheet.sweep",
            # no `expires`: that is an instant of beat's host, which a sweeper whose clock is 3 s ahead holds against
            # every tick. Late ones are dropped by Redis' clock (`DueIndex.begin_sweep`), and by RabbitMQ's own.
            "expiration": 60.0,
            "retry": True,
            "retry_policy": {"max_retries": 1, "interval_start": 0},
        },
    }
}
