"""GitHub's JSON for people and repositories.

Pure functions of the model and of the host's addresses.

Source: https://docs.github.com/rest/repos/repos#get-a-repository
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from zekt_bot.testing.model import (
        Account,
        Repository,
        Role,
    )

Json = dict[str, Any]


@dataclass(frozen=True)
class Urls:
    """Where a GitHub host is."""

    api: str = "https://api.github.com"
    web: str = "https://github.com"

    @property
    def host(self) -> str:
        """The web address without its scheme."""
        return urlsplit(self.web).netloc


GITHUB_COM = Urls()

_REPOSITORY_URLS = {
    "forks_url": "/forks",
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "teams_url": "/teams",
    "hooks_url": "/hooks",
    "issue_events_url": "/issues/events{/number}",
    "events_url": "/events",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "blobs_url": "/git/blobs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "languages_url": "/languages",
    "stargazers_url": "/stargazers",
    "contributors_url": "/contributors",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "merges_url": "/merges",
    "archive_url": "/{archive_format}{/ref}",
    "downloads_url": "/downloads",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "deployments_url": "/deployments",
}


def iso(moment: datetime | None) -> str | None:
    """A time as GitHub writes it, to the second, in UTC."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


ROLES = {"pull": "read", "triage": "triage", "push": "write", "maintain": "maintain"}
"""The permission that each role below the administrator's adds."""


def may(role: Role | None) -> Json:
    """What a person with this role may do, as a repository says it."""
    order = ["read", "triage", "write", "maintain", "admin"]
    reached = order.index(role) + 1 if role else 0
    given = {each: order.index(name) < reached for each, name in ROLES.items()}
    return {"admin": role == "admin", **dict(reversed(given.items()))}


def permission(
    person: Account, repository: Repository, role: Role | None, urls: Urls = GITHUB_COM
) -> Json:
    """A person's permission; the word for it knows neither `maintain` nor `triage`."""
    held = role or (None if repository.private else "read")
    word = {"maintain": "write", "triage": "read", None: "none"}.get(held, held)
    return {
        "permission": word,
        "user": {
            **simple_user(person, urls),
            "permissions": may(held),
            "role_name": held or "none",
        },
        "role_name": held or "none",
    }


def simple_user(account: Account, urls: Urls = GITHUB_COM) -> Json:
    """A user, organization or bot, as it stands in other objects."""
    login = quote(account.login, safe="")
    api = f"{urls.api}/users/{login}"
    page = f"apps/{account.app_slug}" if account.kind == "Bot" else login
    return {
        "login": account.login,
        "id": account.id,
        "node_id": account.node_id,
        "avatar_url": f"https://avatars.githubusercontent.com/u/{account.id}?v=4",
        "gravatar_id": "",
        "url": api,
        "html_url": f"{urls.web}/{page}",
        "followers_url": f"{api}/followers",
        "following_url": f"{api}/following{{/other_user}}",
        "gists_url": f"{api}/gists{{/gist_id}}",
        "starred_url": f"{api}/starred{{/owner}}{{/repo}}",
        "subscriptions_url": f"{api}/subscriptions",
        "organizations_url": f"{api}/orgs",
        "repos_url": f"{api}/repos",
        "events_url": f"{api}/events{{/privacy}}",
        "received_events_url": f"{api}/received_events",
        "type": account.kind,
        "user_view_type": "public",
        "site_admin": False,
    }


def public_user(account: Account, urls: Urls = GITHUB_COM) -> Json:
    """What `GET /users/LOGIN` answers.

    Source: https://docs.github.com/rest/users/users#get-a-user
    """
    return {
        **simple_user(account, urls),
        "name": account.name or account.login,
        "company": None,
        "blog": "",
        "location": None,
        "email": None,
        "hireable": None,
        "bio": None,
        "twitter_username": None,
        "public_repos": 2,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": iso(account.created_at),
        "updated_at": iso(account.created_at),
    }


def organization(account: Account, urls: Urls = GITHUB_COM) -> Json:
    """The `organization` part of a webhook."""
    api = f"{urls.api}/orgs/{account.login}"
    return {
        "login": account.login,
        "id": account.id,
        "node_id": account.node_id,
        "url": api,
        "repos_url": f"{api}/repos",
        "events_url": f"{api}/events",
        "hooks_url": f"{api}/hooks",
        "issues_url": f"{api}/issues",
        "members_url": f"{api}/members{{/member}}",
        "public_members_url": f"{api}/public_members{{/member}}",
        "avatar_url": f"https://avatars.githubusercontent.com/u/{account.id}?v=4",
        "description": "",
    }


def full_organization(account: Account, urls: Urls = GITHUB_COM) -> Json:
    """What `GET /orgs/LOGIN` answers to everybody.

    Source: https://docs.github.com/rest/orgs/orgs#get-an-organization
    """
    return {
        **organization(account, urls),
        "name": account.name or account.login,
        "is_verified": account.verified,
        "has_organization_projects": True,
        "has_repository_projects": True,
        "public_repos": 2,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "html_url": f"{urls.web}/{account.login}",
        "created_at": iso(account.created_at),
        "updated_at": iso(account.created_at),
        "archived_at": None,
        "type": "Organization",
    }


def minimal_repository(repository: Repository, urls: Urls = GITHUB_COM) -> Json:
    """A repository as it stands inside a workflow run."""
    api = f"{urls.api}/repos/{repository.full_name}"
    return {
        "id": repository.id,
        "node_id": repository.node_id,
        "name": repository.name,
        "full_name": repository.full_name,
        "private": repository.private,
        "owner": simple_user(repository.owner, urls),
        "html_url": f"{urls.web}/{repository.full_name}",
        "description": repository.description,
        "fork": repository.fork,
        "url": api,
        **{name: api + tail for name, tail in _REPOSITORY_URLS.items()},
    }


def repository(repository: Repository, urls: Urls = GITHUB_COM) -> Json:
    """A repository with all that webhooks and lists tell of it."""
    web = f"{urls.web}/{repository.full_name}"
    return {
        **minimal_repository(repository, urls),
        "created_at": iso(repository.created_at),
        "updated_at": iso(repository.updated_at),
        "pushed_at": iso(repository.updated_at),
        "git_url": f"git://{urls.host}/{repository.full_name}.git",
        "ssh_url": f"git@{urls.host}:{repository.full_name}.git",
        "clone_url": f"{web}.git",
        "svn_url": web,
        "homepage": None,
        "size": 504,
        "stargazers_count": 0,
        "watchers_count": 0,
        "language": "Python",
        "has_issues": True,
        "has_projects": True,
        "has_downloads": True,
        "has_wiki": True,
        "has_pages": False,
        "has_discussions": False,
        "forks_count": 0,
        "mirror_url": None,
        "archived": repository.archived,
        "disabled": repository.disabled,
        "open_issues_count": 0,
        "license": None,
        "allow_forking": True,
        "is_template": False,
        "web_commit_signoff_required": False,
        "topics": [],
        "visibility": repository.visibility,
        "forks": 0,
        "open_issues": 0,
        "watchers": 0,
        "default_branch": repository.default_branch,
    }


NO_ROLE = dict.fromkeys(("admin", "maintain", "push", "triage", "pull"), False)
"""The `permissions` of a repository as an App is told of it: an App is no person."""


def granted_repository(found: Repository, urls: Urls = GITHUB_COM) -> Json:
    """A repository as an installation token's holder is told of it."""
    return {**repository(found, urls), "permissions": NO_ROLE}


def full_repository(found: Repository, urls: Urls = GITHUB_COM) -> Json:
    """What `GET /repos/OWNER/REPO` answers.

    Source: https://docs.github.com/rest/repos/repos#get-a-repository
    """
    extra: Json = {"temp_clone_token": "", "network_count": 0, "subscribers_count": 1}
    if found.owner.kind == "Organization":
        extra["organization"] = simple_user(found.owner, urls)
    return {**repository(found, urls), "custom_properties": {}, **extra}


def named_repositories(repositories: Iterable[Repository]) -> list[Json]:
    """Repositories as the installation webhooks list them."""
    return [
        {
            "id": one.id,
            "node_id": one.node_id,
            "name": one.name,
            "full_name": one.full_name,
            "private": one.private,
        }
        for one in repositories
    ]
