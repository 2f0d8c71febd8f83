"""Flower, as people and scripts see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests


class Flower:
    """The API of a stack's Flower, with the password of its owner."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{env['FLOWER_PORT']}"
        self._session = requests.Session()
        self._session.trust_env = False
        user, _, password = env["FLOWER_BASIC_AUTH"].partition(":")
        self._session.auth = (user, password)

    def get(self, path: str, **query: str) -> requests.Response:
        return self._session.get(self.url + path, params=query, timeout=10)

    def post(self, path: str) -> requests.Response:
        return self._session.post(self.url + path, json={"args": []}, timeout=10)

    def tasks(self) -> dict[str, dict[str, Any]]:
        """Every task that Flower shows, by id."""
        found: dict[str, dict[str, Any]] = self.get("/api/tasks").json()
        return found

    def close(self) -> None:
        self._session.close()
