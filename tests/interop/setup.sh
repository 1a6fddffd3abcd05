#!/usr/bin/env bash
# Installs what the interop tests run against: a Python environment with scapy, under target/interop.
# Called by tests/setup.sh; does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

requirements=tests/interop/esp/requirements.txt
environment=target/interop/scapy

if [ -x "$environment/bin/python3" ] && cmp -s "$requirements" "$environment/installed.txt"; then
  exit 0
fi
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  command -v apt-get >/dev/null || { echo "Please install Python's venv module and try again." >&2; exit 1; }
  as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
fi
echo "Installing scapy for the interop tests"
rm -rf "$environment"
python3 -m venv "$environment"
"$environment/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: -r "$requirements"
cp "$requirements" "$environment/installed.txt"
