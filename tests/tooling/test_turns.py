"""What the gate leaves out is tried there on the other database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.turns import BOTH, is_spared

ROOT = Path(__file__).parents[2]
WHOLE = ["acceptance", "cli", "operations", "web/api"]
CASES = ["", "-one", "-sqlite"]
NAMES = [
    f"test_{number}{more}" for number in range(30) for more in ("", "_of_sqlite", "_postgresql")
]


@pytest.mark.parametrize(
    ("room", "case"),
    [
        ("pipeline", ""),
        *((room, case) for room in WHOLE for case in CASES),
    ],
)
def test_most_is_tried_on_one_database_and_on_both_in_all(room: str, case: str) -> None:
    tried = {"sqlite": 0, "postgresql": 0}
    for name in NAMES:
        (found,) = [
            database
            for database in tried
            if not is_spared(f"tests/{room}/test_x.py::{name}[{database}{case}]", database, set())
        ]
        tried[found] += 1
    assert all(tried.values())


def test_a_table_of_a_step_meets_postgresql_once() -> None:
    met: set[str] = set()
    cases = [
        (f"tests/pipeline/test_x.py::test_y[{d}-{n}]", d)
        for n in range(3)
        for d in ("sqlite", "postgresql")
    ]
    assert [is_spared(*case, met) for case in cases] == [False, False, False, True, False, True]


def test_a_database_s_own_tests_are_left_out_nowhere() -> None:
    for file in ("tests/db/test_x.py", *BOTH):
        for database in ("sqlite", "postgresql"):
            assert not is_spared(f"{file}::test_y[{database}]", database, set())


@pytest.mark.parametrize("file", BOTH)
def test_what_is_tried_on_both_is_there(file: str) -> None:
    assert (ROOT / file).is_file()
