"""docs/reliability.md names tests that exist, and the long run writes its table as it reads it."""

from __future__ import annotations

from tests.docs.pages import ROOT, codes, page, section
from tests.figures import merged


def test_every_test_that_is_named_exists() -> None:
    named = codes(section(page("reliability.md"), "Broken on purpose"))
    tests = [name.partition("[")[0].partition("::") for name in named if "test_" in name]
    assert tests
    for path, _, function in tests:
        assert f"def {function}(" in (ROOT / "tests" / path).read_text() or not function, path


def test_a_run_replaces_its_own_rows_and_keeps_the_others() -> None:
    empty = "before\n<!-- written by make test-long -->\n<!-- until here -->\nafter\n"
    once = merged(empty, {"b.py::test_b[sqlite]": "2 | then", "a.py::test_a": "1 | then"})
    again = merged(once, {"b.py::test_b[sqlite]": "3 | now"})
    assert again.splitlines()[4:6] == [
        "| `a.py::test_a` | 1 | then |",
        "| `b.py::test_b[sqlite]` | 3 | now |",
    ]
    assert (again.splitlines()[0], again.splitlines()[-1]) == ("before", "after")
