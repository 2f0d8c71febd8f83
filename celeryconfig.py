"""Celery's settings, where Celery looks for them in a checkout: those of `worker/celeryconfig.py`.

The module lies in `worker` too, because an installed `celeryconfig` would become the settings of every
other Celery application in the same environment.
"""

from worker.celeryconfig import *  # noqa: F403
