"""scapy's IPsec layer as a peer: one request in JSON per line on standard input, one answer on standard output.

A request describes an SA, the packet's sequence number, what to do (`seal` or `open`), and the packet as a list of
bytes, IP header first. The answer has `packet`, or `error` with what scapy said.
"""

import json
import logging
import sys
import traceback

logging.getLogger("scapy").setLevel(logging.ERROR)

from cryptography.hazmat.primitives.ciphers import algorithms, modes
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import AH, CRYPT_ALGOS, ESP, CryptAlgo, SecurityAssociation
from scapy.packet import raw


# scapy's table has AES-GCM with the full ICV only; its class does the short ones as well.
for icv_len in (8, 12):
    name = f"AES-GCM-{icv_len}"
    CRYPT_ALGOS[name] = CryptAlgo(
        name,
        cipher=algorithms.AES,
        mode=modes.GCM,
        key_size=(16, 24, 32),
        salt_size=4,
        block_size=1,
        iv_size=8,
        icv_size=icv_len,
        format_mode_iv=lambda sa, iv, **_: sa.crypt_salt + iv,
    )


def ip_class(address):
    return IPv6 if ":" in address else IP


def association(request):
    tunnel, udp = request.get("tunnel"), request.get("udp")
    header = ip_class(tunnel[0])(src=tunnel[0], dst=tunnel[1]) if tunnel else None
    # AH's algorithms are integrity only.
    encryption = {"crypt_algo": request["encryption"], "crypt_key": bytes(request["encryption_key"])}
    return SecurityAssociation(
        {"esp": ESP, "ah": AH}[request["protocol"]],
        spi=request["spi"],
        auth_algo=request["integrity"],
        auth_key=bytes(request["integrity_key"]),
        tunnel_header=header,
        nat_t_header=UDP(sport=udp[0], dport=udp[1]) if udp else None,
        esn_en=request["esn"],
        esn=request["sequence"] >> 32,
        **(encryption if request["protocol"] == "esp" else {}),
    )


def answer(request):
    packet = bytes(request["packet"])
    packet = {4: IP, 6: IPv6}[packet[0] >> 4](packet)
    if request["do"] == "seal":
        result = association(request).encrypt(packet, seq_num=request["sequence"] & 0xFFFFFFFF)
    else:
        result = association(request).decrypt(packet)
    return list(raw(result))


for line in sys.stdin:
    try:
        reply = {"packet": answer(json.loads(line))}
    except Exception as error:  # whatever scapy throws is its answer
        reply = {"error": repr(error), "trace": traceback.format_exc()}
    print(json.dumps(reply), flush=True)
