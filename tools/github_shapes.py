"""Keeps of GitHub's OpenAPI descriptions what the simulator's shapes are held to.

    python tools/github_shapes.py API.json WEBHOOKS.json > tests/testing/github_shapes.json

The descriptions: `generated/api.github.com.json` of npm's `@octokit/openapi` and
`@octokit/openapi-webhooks` (MIT). Of each object, only the keys that it must have and their types
are kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

EVENTS = {
    "installation": "created deleted suspend unsuspend new-permissions-accepted",
    "installation-repositories": "added removed",
    "installation-target": "renamed",
    "github-app-authorization": "revoked",
    "repository": "renamed transferred archived unarchived privatized publicized edited",
    "workflow-run": "requested in-progress completed",
    "workflow-job": "queued in-progress completed",
}
CALLS = (
    ("get", "/app", "200"),
    ("get", "/app/installations/{installation_id}", "200"),
    ("get", "/app/installation-requests", "200"),
    ("get", "/orgs/{org}", "200"),
    ("post", "/app/installations/{installation_id}/access_tokens", "201"),
    ("get", "/app/hook/config", "200"),
    ("get", "/app/hook/deliveries", "200"),
    ("get", "/app/hook/deliveries/{delivery_id}", "200"),
    ("get", "/installation/repositories", "200"),
    ("get", "/meta", "200"),
    ("get", "/rate_limit", "200"),
    ("get", "/users/{username}", "200"),
    ("get", "/repos/{owner}/{repo}", "200"),
    ("get", "/repos/{owner}/{repo}/actions/workflows", "200"),
    ("get", "/repos/{owner}/{repo}/actions/runs", "200"),
    ("get", "/repos/{owner}/{repo}/actions/runs/{run_id}", "200"),
    ("get", "/repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}", "200"),
    ("get", "/repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}/jobs", "200"),
    ("get", "/repos/{owner}/{repo}/actions/runs/{run_id}/jobs", "200"),
)


class Shapes:
    """Shapes of one description; what is referred to is kept once, under its name."""

    def __init__(self, description: dict[str, Any], prefix: str) -> None:
        self._schemas = description["components"]["schemas"]
        self._prefix = prefix
        self.named: dict[str, Any] = {}

    def of(self, schema: dict[str, Any]) -> Any:
        """The shape of a schema: an object's keys, `[items]`, `{"any": …}`, a name, types."""
        shape = self._of(schema)
        return {"any": [shape, "null"]} if schema.get("nullable") is True else shape

    def _of(self, schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            return self._refer(schema["$ref"].rpartition("/")[2])
        if "allOf" in schema:
            return self._joined([self.of(part) for part in schema["allOf"]])
        alternatives = schema.get("anyOf") or schema.get("oneOf")
        if alternatives:
            return {"any": [self.of(part) for part in alternatives]}
        kinds = schema.get("type", "any")
        kinds = sorted(kinds) if isinstance(kinds, list) else [kinds]
        shapes = [self._plain(schema, kind) for kind in kinds]
        return shapes[0] if len(shapes) == 1 else {"any": shapes}

    def _plain(self, schema: dict[str, Any], kind: str) -> Any:
        if kind == "array":
            return [self.of(schema.get("items", {}))]
        if kind == "object":
            wanted = [name for name in schema.get("required", ()) if name in schema["properties"]]
            return {"keys": {name: self.of(schema["properties"][name]) for name in sorted(wanted)}}
        return kind

    def _refer(self, name: str) -> str:
        key = self._prefix + name
        if key not in self.named:
            self.named[key] = "any"  # a schema may refer to itself
            self.named[key] = self.of(self._schemas[name])
        return f"#{key}"

    def _joined(self, parts: list[Any]) -> Any:
        keys: dict[str, Any] = {}
        for part in map(self._resolved, parts):
            keys |= part["keys"] if isinstance(part, dict) and "keys" in part else {}
        return {"keys": keys}

    def _resolved(self, shape: Any) -> Any:
        named = isinstance(shape, str) and shape.startswith("#")
        return self._resolved(self.named[shape[1:]]) if named else shape


def body(operation: dict[str, Any]) -> dict[str, Any]:
    """The schema of a JSON body."""
    schema: dict[str, Any] = operation["content"]["application/json"]["schema"]
    return schema


def main() -> None:
    """Print the shapes."""
    api, hooks = (json.loads(Path(name).read_text()) for name in sys.argv[1:3])
    of_api, of_hooks = Shapes(api, ""), Shapes(hooks, "hook:")
    events = {
        f"{event}.{action}".replace("-", "_"): of_hooks.of(
            body(hooks["webhooks"][f"{event}-{action}"]["post"]["requestBody"])
        )
        for event, actions in EVENTS.items()
        for action in actions.split()
    }
    answers = {
        f"{method.upper()} {path}": of_api.of(body(api["paths"][path][method]["responses"][status]))
        for method, path, status in CALLS
    }
    named = dict(sorted((of_api.named | of_hooks.named).items()))
    notice = (Path(sys.argv[1]).parents[1] / "LICENSE").read_text()
    told = {"licence": {"notice": notice}, "events": events, "answers": answers, "named": named}
    print(
        "{" + ",\n".join(f"{json.dumps(name)}: {_lines(part)}" for name, part in told.items()) + "}"
    )


def _lines(part: dict[str, Any]) -> str:
    """A line for each entry, so that a difference can be read."""
    entries = (
        f"{json.dumps(name)}: {json.dumps(shape, separators=(',', ':'))}"
        for name, shape in part.items()
    )
    return "{\n" + ",\n".join(entries) + "\n}"


main()
