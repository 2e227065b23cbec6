"""What a name may be: of accounts, repositories, workflows, services and event types."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.domain.names import (
    check_event_type,
    check_full_name,
    check_login,
    check_slug,
    check_workflow_path,
    is_elsewhere,
    path_in,
    workflow_path,
)
from zekt_bot.errors import InvalidInput


@pytest.mark.parametrize("slug", ["ab", "a1", "release-published", "0-9", "a" * 64, "a--b"])
def test_a_slug_is_kept(slug: str) -> None:
    assert check_slug(slug) == slug


@pytest.mark.parametrize(
    "slug", ["", "a", "A1", "-ab", "ab-", "a_b", "a" * 65, "ab\n", "ä1", "a/b", "a b"]
)
def test_what_is_no_slug_is_refused(slug: str) -> None:
    with pytest.raises(InvalidInput, match="short name"):
        check_slug(slug)


@pytest.mark.parametrize("name", ["o/r", "Org-1/repo.js", "a/_", "o/.github", "o/...", "o_1/r"])
def test_a_full_name_is_kept(name: str) -> None:
    assert check_full_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "o", "o/", "/r", "o/r/x", "-o/r", "_o/r", "o/..", "o/.", "o/r\n", "o /r", "o/r?x", "../r"],
)
def test_what_is_no_full_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="OWNER/REPO"):
        check_full_name(name)


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        (".github/workflows/ci.yml", ".github/workflows/ci.yml"),
        (".github/workflows/ci.yaml@refs/heads/main", ".github/workflows/ci.yaml"),
        (".github/workflows/a b.yml@v1@v2", ".github/workflows/a b.yml"),
    ],
)
def test_a_workflow_path_loses_its_ref(path: str, kept: str) -> None:
    assert check_workflow_path(path) == workflow_path(path) == kept


@pytest.mark.parametrize(
    ("path", "kept", "elsewhere"),
    [
        (".github/workflows/ci.yml@main", ".github/workflows/ci.yml@main", False),
        ("octo/r1/.github/workflows/ci.yml@main", ".github/workflows/ci.yml@main", False),
        ("Octo/R1/.github/workflows/ci.yml", ".github/workflows/ci.yml", False),
        ("octo/r12/.github/workflows/ci.yml", "octo/r12/.github/workflows/ci.yml", True),
        ("/.github/workflows/ci.yml", "/.github/workflows/ci.yml", False),
        ("dynamic/pages/pages-build-deployment", "dynamic/pages/pages-build-deployment", False),
    ],
)
def test_a_workflow_path_loses_its_own_repository_alone(
    path: str, kept: str, elsewhere: bool
) -> None:
    assert path_in("octo/r1", path) == kept
    assert is_elsewhere(kept) == elsewhere
    assert path_in("", path) == path  # a repository without a name has no path of its own


@pytest.mark.parametrize(
    "path",
    [
        "ci.yml",
        ".github/workflows/.yml",
        ".github/workflows/x/ci.yml",
        ".github/workflows/ci.txt",
        ".github/workflows/../ci.yml",
        ".github/workflows/ci.yml\n",
        ".github/workflows/c\x00i.yml",
        "@.github/workflows/ci.yml",
    ],
)
def test_what_is_no_workflow_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="workflow"):
        check_workflow_path(path)


@given(st.text(min_size=0, max_size=110))
def test_an_event_type_is_short_and_printable(text: str) -> None:
    right = (
        1 <= len(text) <= 100
        and text == text.strip()
        and not any(unicodedata.category(c).startswith("C") for c in text)
    )
    if right:
        assert check_event_type(text) == text
    else:
        with pytest.raises(InvalidInput, match="event type"):
            check_event_type(text)


@pytest.mark.parametrize("text", ["", " a", "a ", "a\x00b", "a\u202eb", "x" * 101])
def test_what_is_no_event_type_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        check_event_type(text)


@pytest.mark.parametrize("login", ["octocat", "a-b", "acme_corp", "9lives"])
def test_a_login_is_githubs(login: str) -> None:
    assert check_login(login) == login


@pytest.mark.parametrize("login", ["", "-a", "a b", "a/b", "x" * 101, "a\n"])
def test_what_is_no_login_is_refused(login: str) -> None:
    with pytest.raises(InvalidInput):
        check_login(login)
