"""Which pause holds a delivery."""

from __future__ import annotations

import pytest

from zekt_bot.domain import pauses
from zekt_bot.domain.pauses import Subject, holding

SUBJECTS = (
    pauses.EVERYTHING,
    pauses.account(1),
    pauses.account(2),
    pauses.service("svc_1"),
    pauses.subscription("sub_1"),
)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_any_part_of_its_way_holds_it(subject: Subject) -> None:
    assert holding((1, 2), "svc_1", "sub_1", {subject}) == subject


def test_what_is_no_part_of_its_way_does_not() -> None:
    others = {pauses.account(3), pauses.service("svc_2"), pauses.subscription("sub_2")}
    assert holding((1, 2), "svc_1", "sub_1", others) is None
    assert holding((1, 2), None, "sub_1", {pauses.service("svc_1")}) is None


def test_the_widest_one_is_named() -> None:
    assert holding((1, 2), "svc_1", "sub_1", set(SUBJECTS)) == pauses.EVERYTHING
