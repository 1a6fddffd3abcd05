#!/usr/bin/env bash
# Makes a root of Debian's trixie with strongSwan 6.0, beside the machine's own version; about half a minute, once.
# It is kept in ${XDG_CACHE_HOME:-~/.cache}/twinmesh/trixie; prints nothing when all is there.
# usage: strongswan_root.sh [forky]     forky: Debian's next release, whose strongSwan has ML-KEM
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

cache=${XDG_CACHE_HOME:-$HOME/.cache}/twinmesh
suite=${1:-trixie}
root=$cache/$suite
packages=charon-systemd,strongswan-swanctl,libcharon-extra-plugins,libstrongswan-extra-plugins,libstrongswan-standard-plugins
# What was asked for: another list makes another root.
made_of=$packages

[ "$(cat "$root/made-of" 2>/dev/null)" = "$made_of" ] && exit 0
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "Making a root of Debian $suite for the interop tests: $root"
mkdir -p "$cache"
log=$cache/$suite.log
"${as_root[@]}" rm -rf "$root" "$root.new"
options=()
# An index of what is not released yet is refused some days after its date; mirrors may be weeks behind.
[ "$suite" = trixie ] || options=(--aptopt='Acquire::Check-Valid-Until "false"')
# `extract`: packages are unpacked and no script of theirs is run; /bin and /lib are those of /usr all the same.
if ! "${as_root[@]}" timeout 600 mmdebstrap "${options[@]}" --variant=extract --include="$packages" \
  --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr "$suite" "$root.new" >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "Debian's $suite could not be had (see $log): without it the tests against strongSwan 6 fail." >&2
  "${as_root[@]}" rm -rf "$root.new"
  exit 1
fi
# Where a host's own are bound; charon looks for /run at its old place.
"${as_root[@]}" mkdir -p "$root.new/run" "$root.new/proc"
"${as_root[@]}" ln -sfn /run "$root.new/var/run"
echo "$made_of" | "${as_root[@]}" tee "$root.new/made-of" >/dev/null
"${as_root[@]}" mv "$root.new" "$root"
