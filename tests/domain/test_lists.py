"""Pages and the ids that they begin after."""

from __future__ import annotations

import pytest

from zekt_bot.domain.lists import MOST_ROWS, Page, audit_key, check_page
from zekt_bot.errors import InvalidInput

ID = "dlv_" + "0" * 26


@pytest.mark.parametrize("page", [Page(), Page(1), Page(MOST_ROWS, ID)])
def test_a_page_begins_anywhere_and_has_an_end(page: Page) -> None:
    assert check_page(page, "dlv") is page


@pytest.mark.parametrize(
    "page", [Page(0), Page(MOST_ROWS + 1), Page(before="run_" + "0" * 26), Page(before=ID + "0")]
)
def test_a_senseless_page_is_refused(page: Page) -> None:
    with pytest.raises(InvalidInput):
        check_page(page, "dlv")


def test_an_audit_entry_is_named_by_chain_and_number() -> None:
    assert audit_key("chain-0003:18") == ("chain-0003", 18)


@pytest.mark.parametrize("text", ["", "chain-0003", "chain-0003:0", ":1", "a b:1", "a:" + "9" * 19])
def test_what_names_no_audit_entry_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="zekt audit list"):
        audit_key(text)
