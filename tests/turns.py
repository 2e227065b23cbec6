"""Which tests the gate leaves to the long suite: the other database shows the same of them."""

from __future__ import annotations

from zlib import crc32

_TABLES = ("tests/pipeline/",)
_BY_TURNS = ("tests/cli/", "tests/operations/", "tests/web/")


def is_spared(nodeid: str, database: str, met: set[str]) -> bool:
    """Whether a test that is run on both databases is spared this one.

    What people do is tried on one of both, by turns. A table of cases of a step is tried on SQLite,
    and meets PostgreSQL once; `met` are the tables that have.
    """
    test, _, case = nodeid.partition("[")
    if test.startswith(_BY_TURNS):
        same = f"{test}[{case.replace(database, '', 1)}"
        return database != ("sqlite", "postgresql")[crc32(same.encode()) % 2]
    if database == "sqlite" or not test.startswith(_TABLES):
        return False
    known = test in met
    met.add(test)
    return known
