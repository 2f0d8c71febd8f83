"""The sandbox's bill: what each request cost, by the rules of its provider."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("provider", "outcome", "standing", "usd"),
    [
        ("gmicloud", "completed", "charged", "0.560"),
        ("gmicloud", "failed", "refunded", "0"),
        ("evolink", "completed", "charged", "0.530"),
        ("evolink", "failed", "charged", "0.530"),
        ("apimart", "completed", "charged", "0.425"),
        ("apimart", "failed", "refunded", "0"),
    ],
)
def test_a_request_is_reserved_and_then_charged_or_refunded(
    caller: Any, control: Any, provider: str, outcome: str, standing: str, usd: str
) -> None:
    control.script({"on": "generation", "outcome": outcome, "seconds": 60})
    request_id = getattr(caller, "submit_gmi" if provider == "gmicloud" else f"submit_{provider}")(prompt="a corgi")
    (line,) = control.bill()["lines"]
    assert (line["request_id"], line["standing"]) == (request_id, "reserved")

    control.advance(61)

    (line,) = control.bill()["lines"]
    assert (line["standing"], line["usd"]) == (standing, usd)
    assert float(control.bill()["sums"][provider]) == float(usd)


def test_whether_failures_are_charged_can_be_said(caller: Any, control: Any) -> None:
    control.script({"on": "generation", "outcome": "failed", "seconds": 0})
    caller.submit_evolink(prompt="a corgi")

    control.charge_failures("evolink", False)

    assert [line["standing"] for line in control.bill()["lines"]] == ["refunded"]
    control.reset()
    assert control.bill()["charges_failures"]["evolink"] is True
