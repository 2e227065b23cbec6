"""Which tests the gate leaves to the long suite: the other database shows the same of them."""

from __future__ import annotations

from zlib import crc32

_STEPS = "tests/pipeline/"
# What hangs on how a database keeps transactions apart, and on what a kill leaves of one.
BOTH = (
    "tests/acceptance/test_spine.py",
    "tests/pipeline/test_aggregate_versions.py",
    "tests/pipeline/test_interleavings.py",
    "tests/pipeline/test_match_versions.py",
)
_WHOLE = ("tests/acceptance/", "tests/cli/", "tests/operations/", "tests/web/")


def is_spared(nodeid: str, database: str, met: set[str]) -> bool:
    """Whether a test that is run on both databases is spared this one.

    What people, processes and steps do is tried on one of both: some on this, some on that, each
    always on the same. A table of cases of a step is tried on SQLite, and meets PostgreSQL once;
    `met` are the tables that have.
    """
    test, _, case = nodeid.partition("[")
    if test.startswith(BOTH):
        return False
    same = case.replace(database, "", 1)
    if test.startswith(_STEPS) and same != "]":
        known = test in met
        if database == "postgresql":
            met.add(test)
        return database == "postgresql" and known
    if not test.startswith((*_WHOLE, _STEPS)):
        return False
    return database != ("sqlite", "postgresql")[crc32(f"{test}[{same}".encode()) % 2]
