"""The guard, and a secret of each kind that it knows."""

from __future__ import annotations

import sys
from typing import Any

from zekt_bot.plugins import load
from zekt_bot.plugins.loading import module_name

PLUGINS = load()
GUARD: Any = sys.modules[module_name("guard")]
# In parts, so that no scanner takes this file for one that leaks.
SECRETS = {
    "age_key": "AGE-SECRET-" + "KEY-1" + "Q" * 58,
    "anthropic_key": "sk-" + "ant-api03-" + "a1-_" * 20,
    "aws_access_key": "AK" + "IA" + "IOSFODNN7EXAMPLE",
    "databricks_token": "da" + "pi" + "0a" * 16,
    "digitalocean_token": "do" + "p_v1_" + "0f" * 32,
    "docker_token": "dckr" + "_pat_" + "aB3_-" * 6,
    "github_fine_grained_token": "github" + "_pat_" + "11AAAAAAA0" * 8,
    "github_token": "gh" + "p_" + "aB3" * 12,
    "gitlab_token": "gl" + "pat-" + "aB3_-" * 4,
    "google_api_key": "AI" + "za" + "SyA-_" * 7,
    "google_client_secret": "GOC" + "SPX-" + "aB3_" * 7,
    "google_token": "ya" + "29." + "a0Af_-" * 8,
    "huggingface_token": "hf" + "_" + "aB3" * 12,
    "jwe": "ey" + "JhbGciOi." + "aB3_-" * 8 + ".aB3_-aB3_-" * 3,
    "jwt": "ey" + "JhbGciOi." + "ey" + "JzdWIiOi." + "sflKxwRJ-_" * 4,
    "npm_token": "npm" + "_" + "aB3" * 12,
    "openai_key": "sk-" + "proj-" + "aB3_-" * 10,
    "private_key": "-----BEGIN RSA " + "PRIVATE KEY-----\nProc-Type: 4\n\nMIIE+/=\n"
    "-----END RSA " + "PRIVATE KEY-----",
    "pypi_token": "pypi-" + "AgEIcHlwaS5vcmc" + "aB3_-" * 12,
    "sendgrid_key": "SG" + "." + "a" * 22 + "." + "b" * 43,
    "shopify_token": "shp" + "at_" + "0aF" * 12,
    "slack_token": "xo" + "xb-1234567890-" + "aB3" * 8,
    "slack_webhook": "hooks.slack" + ".com/services/T000/B000/" + "aB3" * 8,
    "stripe_key": "sk" + "_live_" + "aB3" * 8,
    "telegram_token": "123456789" + ":AA" + "aB3_-" * 7,
    "terraform_token": "aB3" * 4 + "aB" + ".atlas" + "v1." + "aB3_-" * 12,
    "twilio_key": "S" + "K" + "0a" * 16,
    "vault_token": "hv" + "s." + "aB3_-" * 8,
    "webhook_secret": "wh" + "sec_" + "aB3/" * 8,
}
AWS = "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY"
# What stands before the secret, the secret, what stands behind it.
WITHIN = {
    "authorization": ("Authorization: Bearer ", "aB3._~+/-" * 3, ""),
    "aws_secret_key": ("export AWS_SECRET_ACCESS_KEY='", AWS, "'"),
    "azure_storage_key": ("AccountName=me;AccountKey=", "aB3/" * 21 + "==", ";Suffix"),
    "url_password": ("see postgres://me:", "p4ss!word", "@db.example:5432/x"),
}
FOUND = {kind: ("a ", secret, " b") for kind, secret in SECRETS.items()} | WITHIN
