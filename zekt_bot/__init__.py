"""Zekt: a self-hosted, trusted broker of workflow events between GitHub organizations.

What stands in `__all__` is the public API for plugins, resolved lazily so that importing one
pure value loads no framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import AllowedWorkflow, Conditions, Profile, Repository, Service
    from zekt_bot.domain.deliveries import (
        GIVE_UP_AFTER,
        Attempt,
        Delivery,
        DeliveryPolicyFacts,
        DispatchRequest,
        EnvelopePolicyFacts,
        Outcome,
        RunPolicyFacts,
        retry_delay,
    )
    from zekt_bot.domain.events import (
        DEFAULT_EVENT_TYPE,
        AggregationPolicy,
        Draft,
        Envelope,
        Job,
        Message,
        Run,
        RunFacts,
        RunKey,
        every_seen_job_completed,
    )
    from zekt_bot.domain.messages import (
        Accepted,
        IncomingMessage,
        MessagePolicy,
        Redaction,
        Refusal,
    )
    from zekt_bot.domain.subscriptions import Filters, Subscription
    from zekt_bot.domain.webhooks import GitHubEvent
    from zekt_bot.errors import (
        AddressRefused,
        AppRejected,
        GitHubAnswered,
        GitHubError,
        GitHubUnreachable,
        InstallationGone,
        InstallationSuspended,
        PluginFailed,
        RepositoryNotGranted,
        RequestFailed,
        Withheld,
        ZektError,
    )
    from zekt_bot.hookspecs import (
        ApiResponse,
        Channel,
        ChannelApi,
        InstallationApi,
        ReadApi,
        hookimpl,
    )
    from zekt_bot.schemas import schema_misfit

_HOME = {
    "Accepted": "domain.messages",
    "AddressRefused": "errors",
    "AggregationPolicy": "domain.events",
    "AllowedWorkflow": "domain.catalog",
    "ApiResponse": "hookspecs",
    "AppRejected": "errors",
    "Attempt": "domain.deliveries",
    "Channel": "hookspecs",
    "ChannelApi": "hookspecs",
    "InstallationApi": "hookspecs",
    "Conditions": "domain.catalog",
    "DEFAULT_EVENT_TYPE": "domain.events",
    "Delivery": "domain.deliveries",
    "DeliveryPolicyFacts": "domain.deliveries",
    "DispatchRequest": "domain.deliveries",
    "Draft": "domain.events",
    "Entry": "domain.audit",
    "Envelope": "domain.events",
    "EnvelopePolicyFacts": "domain.deliveries",
    "Filters": "domain.subscriptions",
    "GIVE_UP_AFTER": "domain.deliveries",
    "GitHubAnswered": "errors",
    "GitHubError": "errors",
    "GitHubEvent": "domain.webhooks",
    "GitHubUnreachable": "errors",
    "IncomingMessage": "domain.messages",
    "InstallationGone": "errors",
    "InstallationSuspended": "errors",
    "Job": "domain.events",
    "Message": "domain.events",
    "MessagePolicy": "domain.messages",
    "Outcome": "domain.deliveries",
    "PluginFailed": "errors",
    "Profile": "domain.catalog",
    "ReadApi": "hookspecs",
    "Redaction": "domain.messages",
    "Refusal": "domain.messages",
    "Repository": "domain.catalog",
    "RepositoryNotGranted": "errors",
    "RequestFailed": "errors",
    "Run": "domain.events",
    "RunFacts": "domain.events",
    "RunKey": "domain.events",
    "RunPolicyFacts": "domain.deliveries",
    "Service": "domain.catalog",
    "Subscription": "domain.subscriptions",
    "Withheld": "errors",
    "ZektError": "errors",
    "every_seen_job_completed": "domain.events",
    "hookimpl": "hookspecs",
    "retry_delay": "domain.deliveries",
    "schema_misfit": "schemas",
}

__all__ = [
    "DEFAULT_EVENT_TYPE",
    "GIVE_UP_AFTER",
    "Accepted",
    "AddressRefused",
    "AggregationPolicy",
    "AllowedWorkflow",
    "ApiResponse",
    "AppRejected",
    "Attempt",
    "Channel",
    "ChannelApi",
    "Conditions",
    "Delivery",
    "DeliveryPolicyFacts",
    "DispatchRequest",
    "Draft",
    "Entry",
    "Envelope",
    "EnvelopePolicyFacts",
    "Filters",
    "GitHubAnswered",
    "GitHubError",
    "GitHubEvent",
    "GitHubUnreachable",
    "IncomingMessage",
    "InstallationApi",
    "InstallationGone",
    "InstallationSuspended",
    "Job",
    "Message",
    "MessagePolicy",
    "Outcome",
    "PluginFailed",
    "Profile",
    "ReadApi",
    "Redaction",
    "Refusal",
    "Repository",
    "RepositoryNotGranted",
    "RequestFailed",
    "Run",
    "RunFacts",
    "RunKey",
    "RunPolicyFacts",
    "Service",
    "Subscription",
    "Withheld",
    "ZektError",
    "every_seen_job_completed",
    "hookimpl",
    "retry_delay",
    "schema_misfit",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'zekt_bot' has no attribute {name!r}")
    return getattr(import_module(f"zekt_bot.{_HOME[name]}"), name)
