"""The simulated GitHub as the issuer of runs' tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
import pytest

if TYPE_CHECKING:
    from tests.testing.conftest import Scene


async def test_a_run_gets_a_token_that_the_listed_keys_verify(scene: Scene) -> None:
    run = await scene.github.start_run(scene.api, "ci.yml")
    told = scene.github.oidc.environment(run)
    url = f"{told['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience=api://zekt"
    answer = await scene.client.ask("GET", url, told["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
    issuer = scene.github.oidc.url
    found = (await scene.client.ask("GET", f"{issuer}/.well-known/openid-configuration")).body
    (key,) = (await scene.client.ask("GET", found["jwks_uri"])).body["keys"]
    value = answer.body["value"]
    assert jwt.get_unverified_header(value)["kid"] == key["kid"]
    claims = jwt.decode(
        value,
        jwt.PyJWK(key),
        algorithms=found["id_token_signing_alg_values_supported"],
        audience="api://zekt",
        issuer=found["issuer"],
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    assert (claims["repository_id"], claims["run_id"]) == (str(scene.api.id), str(run.id))
    assert claims["exp"] - claims["iat"] == 300


@pytest.mark.parametrize("visibility", ["public", "private", "internal"])
async def test_a_token_tells_the_repositorys_visibility(scene: Scene, visibility: str) -> None:
    repository = scene.github.repository(
        scene.org, "inner", private=visibility == "private", internal=visibility == "internal"
    )
    run = await scene.github.start_run(repository, "ci.yml")
    claims = scene.github.oidc.claims(run, "api://zekt")
    assert claims["repository_visibility"] == visibility


async def test_who_is_no_runner_gets_no_token(scene: Scene) -> None:
    run, other = [await scene.github.start_run(scene.api, "ci.yml") for _ in range(2)]
    told = scene.github.oidc.environment(run)
    url = told["ACTIONS_ID_TOKEN_REQUEST_URL"]
    assert (await scene.client.ask("GET", url, "nobody")).status == 401
    url = url.replace(str(run.id), str(other.id))
    token = told["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    assert (await scene.client.ask("GET", url, token)).status == 404
