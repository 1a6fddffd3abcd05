#!/usr/bin/env bash
# Installs what a make target needs and the machine lacks. Debian and Ubuntu; elsewhere it says what to install.
# usage: setup.sh demo|soak|test|bench
set -euo pipefail

purpose=${1:?usage: setup.sh demo|soak|test|bench}

# One line for each program: the program or another file, and the Debian package that brings it.
demo_programs="cc:gcc ip:iproute2 nft:nftables ping:iputils-ping iperf3:iperf3 unshare:util-linux tcpdump:tcpdump curl:curl"
soak_programs="$demo_programs nstat:iproute2 python3:python3"
plugins=/usr/lib/ipsec/plugins/libstrongswan
strongswan="charon-systemd:charon-systemd swanctl:strongswan-swanctl $plugins-kernel-libipsec.so:libcharon-extra-plugins\
 $plugins-chapoly.so:libstrongswan-extra-plugins $plugins-gcm.so:libstrongswan-standard-plugins"
test_programs="$demo_programs tc:iproute2 nstat:iproute2 ethtool:ethtool nc:netcat-openbsd wg:wireguard-tools wireguard-go:wireguard-go python3:python3 sqlite3:sqlite3 openssl:openssl tshark:tshark\
 mmdebstrap:mmdebstrap /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring turnutils_uclient:coturn miniupnpd:miniupnpd-nftables $strongswan"
bench_programs="$test_programs"
programs_variable="${purpose}_programs"
programs=${!programs_variable:?unknown purpose $purpose}

PATH=$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin
missing=()
for entry in $programs; do
  command -v "${entry%%:*}" >/dev/null || [ -e "${entry%%:*}" ] || missing+=("${entry#*:}")
done

if [ ${#missing[@]} -gt 0 ]; then
  packages=$(printf '%s\n' "${missing[@]}" | sort -u | tr '\n' ' ')
  if ! command -v apt-get >/dev/null; then
    echo "Please install the equivalents of these Debian packages and try again: $packages" >&2
    exit 1
  fi
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "Run this as root, or install: $packages" >&2; exit 1; }
    as_root=(sudo)
  fi
  echo "Installing: $packages"
  "${as_root[@]}" apt-get update -qq
  # shellcheck disable=SC2086
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
  # The tests start charon themselves, in the lab; Debian's package starts one on this machine too.
  if [[ " $packages " = *" charon-systemd "* ]] && command -v systemctl >/dev/null; then
    "${as_root[@]}" systemctl disable --now --quiet strongswan.service || true
  fi
  # So does coturn's.
  if [[ " $packages " = *" coturn "* ]] && command -v systemctl >/dev/null; then
    "${as_root[@]}" systemctl disable --now --quiet coturn.service || true
  fi
fi

if ! command -v cargo >/dev/null; then
  echo "A Rust toolchain is needed: https://rustup.rs" >&2
  exit 1
fi

if [ "$purpose" = test ]; then
  for component in clippy rustfmt; do
    cargo "${component/rust/}" --version >/dev/null 2>&1 || rustup component add "$component"
  done
  cargo nextest --version >/dev/null 2>&1 || cargo install --locked cargo-nextest
  "$(dirname "$0")/interop/setup.sh"
  "$(dirname "$0")/interop/strongswan_root.sh"
  cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
fi

if [ "$purpose" = bench ]; then
  "$(dirname "$0")/bench/peers.sh"
fi
