#!/bin/sh
# Makes .venv: a Python in range, uv inside it, and exactly what uv.lock names.
set -eu
cd "$(dirname "$0")/.."
here=$(pwd -P)
venv=$here/.venv
uv_pin=$(sed -n 's/^ *"\(uv==[0-9.]*\)",$/\1/p' pyproject.toml)
unset VIRTUAL_ENV PYTHONHOME PYTHONPATH UV_PYTHON
export UV_PROJECT_ENVIRONMENT="$venv"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

say() { printf '%s\n' "$*" >&2; }

# Runs a command and shows what it said only if it failed.
quietly() {
    "$@" </dev/null >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }
}

# Prints one line on a Python: a verdict, its version, and the interpreter behind the name.
# Written so that every Python since 2.7 can answer.
examine='
import sys
version = sys.version_info[:2]
try:
    import ensurepip, venv
    verdict = "usable"
except ImportError:
    verdict = "no-venv"
if not (3, 11) <= version < (3, 14):
    verdict = "bootstrap" if verdict == "usable" and version >= (3, 9) else "other"
print("%s %d.%d %s" % (verdict, version[0], version[1], getattr(sys, "_base_executable", None) or sys.executable))
'

chosen= version= bootstrap= without_venv= found=

note() {
    found="$found
  $1: $2"
}

try() {
    if ! command -v "$1" >/dev/null 2>&1; then
        note "$1" "not found"
        return 1
    fi
    if ! answer=$("$1" -c "$examine" 2>/dev/null </dev/null); then
        note "$1" "found ($(command -v "$1")), but it does not run"
        return 1
    fi
    verdict=${answer%% *}
    answer=${answer#* }
    this=${answer%% *}
    path=${answer#* }
    case $verdict in
        usable) chosen=$path version=$this; return 0 ;;
        no-venv) without_venv=${without_venv:-$this}; note "$1" "Python $this, but without its venv module" ;;
        bootstrap) bootstrap=${bootstrap:-$path}; note "$1" "Python $this, which is out of range" ;;
        *) note "$1" "Python $this, which is out of range" ;;
    esac
    return 1
}

stop() {
    say "Zekt needs Python 3.11, 3.12 or 3.13 with its venv module. Found:$found"
    if [ -n "$without_venv" ]; then
        say "Install what is missing. Debian, Ubuntu: sudo apt install python$without_venv-venv"
    else
        say "Install one. Debian, Ubuntu: sudo apt install python3 python3-venv. macOS: brew install python@3.13"
    fi
    say "Or name one: make PYTHON=/path/to/python3.13"
    exit 1
}

# Lets uv fetch an interpreter; prints nothing unless that is tried and fails.
fetch() {
    if [ -n "$bootstrap" ]; then
        quietly "$bootstrap" -m venv "$work/uv" || return 1
        quietly "$work/uv/bin/python" -m pip install --quiet --disable-pip-version-check "$uv_pin" || return 1
        uv=$work/uv/bin/uv
    else
        uv=$(command -v uv) || return 1
    fi
    say "No Python 3.11 to 3.13 here: fetching one with uv"
    quietly "$uv" venv --quiet --clear --managed-python --python 3.13 "$venv" || return 1
    quietly "$uv" sync --quiet --frozen --no-progress
}

if [ -n "${PYTHON:-}" ]; then
    try "$PYTHON" || stop
else
    for name in python3.13 python3.12 python3.11 python3; do
        if try "$name"; then break; fi
    done
fi

# Remembers, for the next time and for make, where and from which Python .venv was made.
remember() {
    printf '%s\n' "$here" >"$venv/.folder"
    printf '%s\n' "$1" >"$venv/.python"
}

recall() { cat "$venv/$1" 2>/dev/null || :; }

if [ -z "$chosen" ]; then
    fetch || stop
    remember fetched
    exit 0
fi

say "Setting up .venv with Python $version ($chosen)"
if [ "$(recall .folder)" != "$here" ] || [ "$(recall .python)" != "$version $chosen" ]; then
    quietly "$chosen" -m venv --clear "$venv"
fi
if ! "$venv/bin/uv" --version >/dev/null 2>&1; then
    quietly "$chosen" -m venv "$venv"
    quietly "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$uv_pin"
fi
quietly "$venv/bin/uv" sync --quiet --frozen --no-progress --python "$venv/bin/python"
remember "$version $chosen"
