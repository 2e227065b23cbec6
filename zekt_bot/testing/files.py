"""The files of a repository's branches, and what GitHub reads in those of its workflows.

Source: https://docs.github.com/rest/repos/contents#get-repository-content
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import yaml

from zekt_bot.testing.model import WORKFLOWS
from zekt_bot.testing.shapes import GITHUB_COM, Json, Urls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.testing.model import Repository, Workflow

_LINE = 60
_WITHOUT_CONTENT = 1024 * 1024  # above it, GitHub gives a file's content in other ways only


def text_of(workflow: Workflow) -> str:
    """A workflow file that does what this workflow was told to do."""
    lines = [f"name: {json.dumps(workflow.name)}"]
    if workflow.run_name:
        lines.append(f"run-name: {json.dumps(workflow.run_name)}")
    types = [json.dumps(one) for one in workflow.on_dispatch_types]
    lines += ["on:", "  push:"] if not types else ["on:", "  repository_dispatch:"]
    if types and "*" not in workflow.on_dispatch_types:
        lines.append(f"    types: [{', '.join(types)}]")
    lines.append("jobs:")
    for job in workflow.jobs:
        name = json.dumps(job)
        lines += [f"  {name}:", "    runs-on: ubuntu-latest", "    steps:", "      - run: make"]
    return "\n".join(lines) + "\n"


def read(text: str) -> tuple[str | None, str | None, tuple[str, ...]]:
    """A workflow's name, its run-name and the types of dispatches that start it, as in
    `Workflow.on_dispatch_types`. What is no workflow has none of them."""
    parsed = _parsed(text)
    return parsed.get("name"), parsed.get("run-name"), _types(parsed.get("on"))


def _parsed(text: str) -> dict[str, Any]:
    """A workflow file, all of its scalars texts; what is no workflow is empty."""
    try:
        parsed = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - texts only, so `on` stays `on`
    except yaml.YAMLError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _types(on: Any) -> tuple[str, ...]:
    if isinstance(on, str | list):
        return ("*",) if "repository_dispatch" in ([on] if isinstance(on, str) else on) else ()
    if not isinstance(on, dict) or "repository_dispatch" not in on:
        return ()
    how = on["repository_dispatch"]
    types = how.get("types") if isinstance(how, dict) else None
    if not types:
        return ("*",)
    return (types,) if isinstance(types, str) else tuple(types)


@dataclass(frozen=True, slots=True)
class DeclaredJob:
    """A job of a workflow file, with the names of its steps as GitHub shows them."""

    name: str
    labels: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()


def jobs(text: str) -> dict[str, DeclaredJob]:
    """The jobs of a workflow file by their keys."""
    return {
        key: DeclaredJob(
            job.get("name", key),
            (label,) if isinstance(label := job.get("runs-on", ()), str) else tuple(label),
            tuple(map(_step_name, job.get("steps", ()))),
        )
        for key, job in _jobs(_parsed(text)).items()
    }


def _jobs(parsed: Mapping[str, Any]) -> dict[str, Any]:
    """A workflow's jobs by their keys; GitHub starts no workflow that has none."""
    found = parsed.get("jobs")
    return found if isinstance(found, dict) else {}


def _step_name(step: Mapping[str, str]) -> str:
    does: str = step.get("run") or step.get("uses", "")
    return step.get("name") or f"Run {does.strip().partition(chr(10))[0]}"


def may_have_token(text: str) -> bool:
    """Whether a job of this workflow file may ask for a token that says which run it is.

    Source: https://docs.github.com/actions/reference/security/oidc#required-permission
    """
    parsed = _parsed(text)
    own = parsed.get("permissions")
    given = (job.get("permissions", own) for job in _jobs(parsed).values())
    return any(
        one == "write-all" or (isinstance(one, dict) and one.get("id-token") == "write")
        for one in given
    )


def is_workflow(path: str) -> bool:
    """Whether GitHub takes the file at this path for a workflow."""
    name = path.removeprefix(WORKFLOWS)
    return path.startswith(WORKFLOWS) and "/" not in name and name.endswith((".yml", ".yaml"))


def blob_sha(raw: bytes) -> str:
    """Git's name of a file's content."""
    framed = b"blob %d\0" % len(raw) + raw
    return hashlib.sha1(framed, usedforsecurity=False).hexdigest()


def entry(
    repository: Repository, ref: str, path: str, raw: bytes | None, urls: Urls = GITHUB_COM
) -> Json:
    """A file or, without `raw`, a folder, as the list of its folder tells of it."""
    api, page = f"{urls.api}/repos/{repository.full_name}", f"{urls.web}/{repository.full_name}"
    kind, object_kind, view = (
        ("file", "blobs", "blob") if raw is not None else ("dir", "trees", "tree")
    )
    sha = blob_sha(raw if raw is not None else path.encode())
    where = f"{quote(ref)}/{quote(path)}"
    links = {
        "self": f"{api}/contents/{quote(path)}?ref={quote(ref, safe='')}",
        "git": f"{api}/git/{object_kind}/{sha}",
        "html": f"{page}/{view}/{where}",
    }
    download = f"https://raw.githubusercontent.com/{repository.full_name}/{where}"
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": sha,
        "size": len(raw or b""),
        "url": links["self"],
        "html_url": links["html"],
        "git_url": links["git"],
        "download_url": download if raw is not None else None,
        "type": kind,
        "_links": links,
    }


def file(repository: Repository, ref: str, path: str, raw: bytes, urls: Urls = GITHUB_COM) -> Json:
    """A file with its content in lines of base64; one over 1 MB comes without."""
    told = entry(repository, ref, path, raw, urls)
    if len(raw) > _WITHOUT_CONTENT:
        return {**told, "content": "", "encoding": "none"}
    encoded = base64.b64encode(raw).decode()
    lines = [encoded[at : at + _LINE] + "\n" for at in range(0, len(encoded), _LINE)]
    return {**told, "content": "".join(lines), "encoding": "base64"}


def folder(repository: Repository, ref: str, path: str, urls: Urls = GITHUB_COM) -> list[Json]:
    """What is in a folder (`""`: the whole branch), by name; at most 1,000 entries."""
    files = repository.files[ref]
    prefix = f"{path}/" if path else ""
    inside: dict[str, bytes | None] = {}
    for one, raw in files.items():
        if one.startswith(prefix):
            name, slash, _ = one.removeprefix(prefix).partition("/")
            inside[prefix + name] = None if slash else raw
    return [entry(repository, ref, one, inside[one], urls) for one in sorted(inside)][:1000]
