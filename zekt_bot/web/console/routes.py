"""Every page, and who has to be there for it."""

from __future__ import annotations

from zekt_bot.web.console import (
    consent,
    me,
    preferences,
    repositories,
    setup,
    setup_apps,
    setup_check,
    sign_in,
)
from zekt_bot.web.console.gate import Page

_APP = "{app:oauth|orchestrator}"
_REPOSITORY = "{owner}/{name}/{verb:enable|disable}"

# They ask by themselves who is there: the browser that brought the setup's link, or an operator.
_SETUP = (
    Page("GET", "/setup", setup.start, "nobody"),
    Page("POST", "/setup/enter", setup.enter, "nobody"),
    Page("GET", "/setup/address", setup.address, "nobody"),
    Page("GET", "/setup/operator", setup.operator, "nobody"),
    Page("POST", "/setup/operator", setup.become_operator, "nobody"),
    Page("GET", "/setup/accounts", setup.accounts, "nobody"),
    Page("POST", "/setup/accounts", setup.choose_accounts, "nobody"),
    Page("GET", "/setup/install", setup.install, "nobody"),
    Page("GET", "/setup/installed", setup.installed, "nobody"),
    Page("GET", "/setup/check", setup_check.show, "nobody"),
    Page("POST", f"/setup/check/{_APP}/test", setup_check.send_test, "nobody"),
    Page("POST", "/setup/finish", setup_check.finish, "nobody"),
    Page("GET", "/setup/done", setup.done, "nobody"),
    Page("GET", f"/setup/created/{_APP}", setup_apps.created, "nobody"),
    Page("GET", f"/setup/{_APP}", setup_apps.form, "nobody"),
    Page("POST", f"/setup/{_APP}", setup_apps.hand_over, "nobody"),
    Page("GET", f"/setup/{_APP}/forget", setup_apps.confirm_forgetting, "nobody"),
    Page("POST", f"/setup/{_APP}/forget", setup_apps.forget, "nobody"),
)

PAGES = (
    Page("GET", "/", sign_in.start, "nobody"),
    Page("GET", "/login", sign_in.show, "nobody"),
    Page("POST", "/login", sign_in.begin, "nobody"),
    Page("GET", "/auth/github/callback", sign_in.finish, "nobody"),
    Page("POST", "/logout", sign_in.leave, "nobody"),
    Page("GET", "/welcome", sign_in.welcome),
    Page("POST", "/welcome", sign_in.choose),
    Page("GET", "/repositories", repositories.show),
    Page("GET", f"/repositories/{_REPOSITORY}", repositories.ask),
    Page("POST", f"/repositories/{_REPOSITORY}", repositories.change),
    Page("GET", "/consent", consent.show),
    Page("GET", "/consent/{login}/export", consent.export),
    Page("GET", "/consent/{login}/delete", consent.ask),
    Page("POST", "/consent/{login}/delete", consent.delete),
    Page("GET", "/apps", setup.apps, "operator"),
    Page("GET", "/me", sign_in.profile),
    Page("POST", "/me/sessions/end", sign_in.end),
    Page("GET", "/me/export", me.export),
    Page("GET", "/me/delete", me.ask),
    Page("POST", "/me/delete", me.delete),
    Page("POST", "/preferences/theme", preferences.theme, "nobody"),
    *_SETUP,
)
