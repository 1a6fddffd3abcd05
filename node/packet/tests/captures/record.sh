#!/usr/bin/env bash
# Records the captures beside it on the TUN device of a node in the lab, as root: run from the top of the repository after
# `cargo build --bins`. Without offload, so that a packet is captured as it leaves; kernels differ in the details.
set -euo pipefail
lab() { "${LAB:-target/debug/twinmesh-lab}" "$@"; }
out=$PWD/node/packet/tests/captures
trap 'lab down record' EXIT
lab up tests/scenarios/rough.toml --name record
in_host() { lab exec --lab record "$@"; }
for host in alpha beta; do
  lab stop --lab record $host agent
  in_host $host -- sh -c 'setsid twinmesh agent --state $TWINMESH_LAB_HOST_DIR/state --no-offload all >/dev/null 2>&1 &'
  in_host $host -- sysctl -qw net.ipv4.tcp_ecn=1
done
address() { in_host beta -- twinmesh status --json | python3 -c "import json, sys; print(json.load(sys.stdin)['addresses'][$1])"; }
until in_host alpha -- ping -q -c 1 -W 1 beta 2>/dev/null || { v4=$(address 0 2>/dev/null) && in_host alpha -- ping -q -c 1 -W 1 "$v4"; }; do sleep 0.5; done
v4=$(address 0) v6=$(address 1)
# Some of what arrives at beta is lost, some of what leaves alpha has met congestion.
in_host beta -- nft 'add table inet loss; add chain inet loss in { type filter hook input priority 0; }; add rule inet loss in iifname twinmesh0 meta l4proto tcp numgen random mod 16 == 0 drop'
in_host alpha -- nft 'add table inet congested; add chain inet congested out { type filter hook postrouting priority 0; }; add rule inet congested out oifname twinmesh0 ip ecn ect0 numgen random mod 5 == 0 ip ecn set ce; add rule inet congested out oifname twinmesh0 ip6 ecn ect0 numgen random mod 5 == 0 ip6 ecn set ce'

# capture NAME FILTER COMMAND…
capture() {
  local name=$1 filter=$2; shift 2
  in_host alpha -- timeout 60 tcpdump -q -Z root -B 8192 -i twinmesh0 -s 0 -U --immediate-mode -w "$out/$name.pcap" "$filter" 2>/dev/null &
  sleep 1
  "$@"
  sleep 1
  in_host alpha -- sh -c "kill \$(pgrep -x tcpdump)"
  wait
}
tcp() {
  in_host beta -- timeout 20 python3 -c '
import socket, sys
server = socket.create_server((sys.argv[1], 7400), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
connection, _ = server.accept()
while got := connection.recv(65536):
    connection.sendall(b"so far %d\n" % len(got))
connection.close()' "$1" &
  sleep 0.5
  in_host alpha -- python3 -c '
import os, socket, sys, time
connection = socket.create_connection((sys.argv[1], 7400))
for length in [1, 700, 20000, 25000, 3, 12000]:
    connection.sendall(os.urandom(length))
    time.sleep(0.1)
connection.shutdown(socket.SHUT_WR)
while connection.recv(65536):
    pass' "$1"
}
datagrams() {
  in_host beta -- timeout 10 python3 -c '
import socket, sys
at = socket.getaddrinfo(sys.argv[1], 7401, type=socket.SOCK_DGRAM)[0]
server = socket.socket(at[0], socket.SOCK_DGRAM)
server.bind(at[4])
while True:
    datagram, sender = server.recvfrom(65535)
    server.sendto(datagram, sender)' "$1" &
  local server=$!
  sleep 0.5
  in_host alpha -- ping -q -c 2 -i 0.2 "$1"
  in_host alpha -- ping -q -c 1 -s 3000 "$1"
  in_host alpha -- python3 -c '
import os, socket, sys, time
at = socket.getaddrinfo(sys.argv[1], 7401, type=socket.SOCK_DGRAM)[0]
def client(*options):
    it = socket.socket(at[0], socket.SOCK_DGRAM)
    for option in options:
        it.setsockopt(*option)
    it.connect(at[4])
    it.settimeout(2)
    return it
plain = client()
for length in [100, 100, 100, 100, 60, 1, 0, 1200, 1200, 900, 4000]:
    plain.send(os.urandom(length))
for _ in range(11):
    plain.recv(65535)
if ":" in sys.argv[1]:
    padding = bytes([0, 0, 1, 4, 0, 0, 0, 0])
    for option in [54, 59]:
        it = client((socket.IPPROTO_IPV6, option, padding))
        for _ in range(3):
            it.send(os.urandom(200))
            it.recv(65535)
closed = socket.socket(at[0], socket.SOCK_DGRAM)
closed.connect((sys.argv[1], 7402))
closed.send(b"nobody is here")
time.sleep(0.3)' "$1"
  kill $server
}
capture tcp4 "ip and tcp" tcp "$v4"
capture tcp6 "ip6 proto 6" tcp "$v6"
capture udp-icmp4 "ip and not tcp" datagrams "$v4"
capture udp-icmp6 "ip6 and not ip6 proto 6" datagrams "$v6"
ls -l "$out"
