"""Durations of generations: the store keeps the latest of each model, and of no other."""

from __future__ import annotations

from worker.store import Store
from worker.store.durations import MAX_TOOK


def test_what_was_learned_of_a_model_is_told_of_it_alone(store: Store) -> None:
    store.durations.learn("gmicloud", "kling-3.0-turbo-t2v", 61.25)

    assert store.durations.took("gmicloud", "kling-3.0-turbo-t2v") == [61.2]
    assert store.durations.took("apimart", "kling-3.0-turbo-t2v") == []


def test_only_the_latest_generations_of_a_model_count(store: Store) -> None:
    for seconds in range(MAX_TOOK + 5):
        store.durations.learn("gmicloud", "kling-3.0-turbo-t2v", seconds)

    took = store.durations.took("gmicloud", "kling-3.0-turbo-t2v")

    assert len(took) == MAX_TOOK
    assert min(took) == 5
