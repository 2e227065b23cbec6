"""An App's private key in the ways that platforms let people write it."""

from __future__ import annotations

import base64
import binascii

from zekt_bot.errors import ConfigurationError

_KEY_WANTED = (
    "ZEKT_{}_PRIVATE_KEY must be the App's RSA private key: the PEM file that GitHub "
    "gave, as it is, with \\n for its line ends, or in base64."
)


def key_wanted(app: str) -> str:
    """What to do about the private key of this App."""
    return _KEY_WANTED.format(app.upper())


def pem_of(text: str, app: str = "orchestrator") -> str:
    r"""The PEM text in `text`, which is PEM, PEM with literal `\n`, or PEM in base64.

    Raises:
        ConfigurationError: it is none of these; the message shows nothing of it.
    """
    text = text.strip().strip("\"'").replace("\\r", "").replace("\\n", "\n")
    if "-----BEGIN" not in text:
        try:
            text = base64.b64decode("".join(text.split()), validate=True).decode("ascii")
        except (binascii.Error, ValueError):
            raise ConfigurationError(key_wanted(app)) from None
    return text.strip() + "\n"
