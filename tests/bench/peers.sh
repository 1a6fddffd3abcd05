#!/usr/bin/env bash
# Puts the programs that twinmesh is measured beside under target/bench/peers; says what cannot be had, and why.
# Nothing outside that folder is changed. It does nothing when all is there. Called by tests/setup.sh bench.
set -uo pipefail
cd "$(dirname "$0")/../.."
peers=$(realpath -m "${CARGO_TARGET_DIR:-target}")/bench/peers
mkdir -p "$peers/bin"

# From this version on wireguard-go has GSO and GRO; a Debian whose own is older has a newer one in its backports.
fast_wireguard_go=0.0.20231211

# The newest wireguard-go that Debian builds for this release.
wireguard_go() {
  [ -x "$peers/bin/wireguard-go" ] && return
  local own
  own=$(dpkg-query -W -f '${Version}' wireguard-go 2>/dev/null)
  if [ -n "$own" ] && dpkg --compare-versions "$own" ge "$fast_wireguard_go"; then
    ln -sf "$(PATH=$PATH:/usr/sbin command -v wireguard-go)" "$peers/bin/wireguard-go"
    echo "$own" >"$peers/bin/wireguard-go.version"
    return
  fi
  # Backports are not among this machine's sources and need not be: apt is given lists of its own.
  local release mirror apt=$peers/apt package
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $release" | head -n 1)
  [ -n "$mirror" ] || { echo "apt knows no mirror of $release"; return 1; }
  rm -rf "$apt"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/package"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release-backports main" >"$apt/sources.list"
  local options=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o "APT::Sandbox::User=$(id -un)" -qq)
  apt-get "${options[@]}" update && (cd "$apt" && apt-get "${options[@]}" download wireguard-go) || return 1
  package=$(ls "$apt"/wireguard-go_*.deb) && dpkg -x "$package" "$apt/package" || return 1
  dpkg-deb -f "$package" Version >"$peers/bin/wireguard-go.version"
  mv "$apt/package/usr/bin/wireguard-go" "$peers/bin/" && rm -rf "$apt"
}

# crate NAME PROGRAM
crate() {
  [ -x "$peers/bin/$2" ] || cargo install --quiet --locked --root "$peers" "$1"
}

# have NAME COMMAND...
have() {
  local name=$1 log=$peers/$1.log; shift
  if ! "$@" >"$log" 2>&1; then
    echo "$name is left out of the comparison: $(grep -v '^ *$' "$log" | tail -n 3) (whole log: $log)"
  fi
}

have wireguard-go wireguard_go
for entry in boringtun-cli:boringtun-cli gotatun-cli:gotatun; do
  [ -x "$peers/bin/${entry#*:}" ] || echo "Building ${entry%%:*}"
  have "${entry%%:*}" crate "${entry%%:*}" "${entry#*:}"
done
exit 0
