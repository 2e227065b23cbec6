"""GitHub on the loopback interface, for tests, the demo and plugin authors. Imports no pytest.

Source: https://docs.github.com/rest and https://docs.github.com/webhooks
"""

from __future__ import annotations

from zekt_bot.testing import payloads, shapes
from zekt_bot.testing.clock import ManualClock
from zekt_bot.testing.dispatches import Dispatch
from zekt_bot.testing.faults import Fault
from zekt_bot.testing.github import GitHubSimulator
from zekt_bot.testing.model import Account, App, Installation, Repository, Token, Workflow
from zekt_bot.testing.oidc import OidcIssuer
from zekt_bot.testing.runs import Job, WorkflowRun
from zekt_bot.testing.server import ApiRequest
from zekt_bot.testing.shapes import Urls
from zekt_bot.testing.webhooks import WebhookDelivery, sign, webhook_headers

__all__ = [
    "Account",
    "ApiRequest",
    "App",
    "Dispatch",
    "Fault",
    "GitHubSimulator",
    "Installation",
    "Job",
    "ManualClock",
    "OidcIssuer",
    "Repository",
    "Token",
    "Urls",
    "WebhookDelivery",
    "Workflow",
    "WorkflowRun",
    "payloads",
    "shapes",
    "sign",
    "webhook_headers",
]
