# SPDX-License-Identifier: 0BSD
"""One line for each job that ends badly."""

from __future__ import annotations


def lines(caplog):
    return [r.getMessage() for r in caplog.records if r.name == "zekt_failed_steps"]


async def test_a_failed_job_is_told_with_its_step_and_run(zekt, caplog):
    run = await zekt.finish_run("build", conclusion="failure")

    async def told():
        return lines(caplog)

    (line,) = await zekt.until(told)
    assert line.startswith(f"{zekt.provider.full_name}: build failed at “Run make test” (")
    assert f"#{run.number}, attempt 1): {zekt.github.web_url}/" in line


async def test_a_job_that_went_well_is_not(zekt, caplog):
    await zekt.finish_run("build")
    await zekt.finish_run("test", conclusion="failure")

    async def told():
        return lines(caplog)

    (line,) = await zekt.until(told)
    assert ": test failed at" in line
