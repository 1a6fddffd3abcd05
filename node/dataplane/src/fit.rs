//! What becomes of a packet that may be longer than its way carries.

use twinmesh_esp::{Fit, Mode, fit};
use twinmesh_packet::{Fragments, IcmpError, IpPacket, clamp_mss};

use crate::counters::{Adjustment, DropReason};
use crate::outbound::{Ports, answer};

/// Gives `seal` a packet that fits in `mtu` bytes; one that does not in fragments, made in `buffer`, if its sender allows
/// that; and whole if it is IPv6 of a length that every link must carry. Of all others the sender is told (RFC 4301
/// §8.2.1).
pub(crate) fn in_pieces(
    packet: &IpPacket<'_>,
    mtu: u16,
    mode: Mode,
    buffer: &mut [u8],
    ports: Ports<'_>,
    mut seal: impl FnMut(&[u8]),
) {
    let mtu_told = match fit(packet.bytes(), mtu) {
        Fit::Fits | Fit::FragmentOuter => return seal(packet.bytes()),
        Fit::TooBig { mtu } => mtu,
    };
    // Transport mode takes whole packets only (RFC 4303 §3.3.4).
    let fragments = match mode {
        Mode::Tunnel => Fragments::of(packet, mtu),
        Mode::Transport => None,
    };
    let Some(mut fragments) = fragments else {
        ports.counters.dropped(DropReason::TooBig);
        return answer(packet, IcmpError::TooBig { mtu: mtu_told }, ports);
    };
    ports.counters.adjusted(Adjustment::InnerFragmented);
    while let Some(fragment) = fragments.next_into(buffer) {
        seal(fragment);
    }
}

/// Lets the connection that a packet opens have segments that fit in `mtu` bytes, and counts where it had longer ones.
pub(crate) fn clamp(packet: &mut [u8], mtu: u16, ports: Ports<'_>) {
    if clamp_mss(packet, mtu.min(ports.mtu)) {
        ports.counters.adjusted(Adjustment::MssClamped);
    }
}
