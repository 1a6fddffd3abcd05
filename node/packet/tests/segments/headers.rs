//! Headers of any kind, for property tests.

use proptest::prelude::*;

use crate::packets::{ACK, CWR, DONT_FRAGMENT, ECE, FIN, PSH, Packet, TIMESTAMPS};

prop_compose! {
    /// Headers of every kind that can be cut.
    pub(crate) fn any_headers()(
        (v6, udp) in any::<(bool, bool)>(),
        (class, hop_limit, identification, port, window) in any::<(u8, u8, u16, u16, u16)>(),
        (sequence, acknowledgment) in any::<(u32, u32)>(),
        flags in prop_oneof![3 => Just(ACK), 3 => prop::bits::u8::masked(FIN | PSH | ACK | ECE | CWR), 1 => any::<u8>()],
        fragment_flags in prop_oneof![Just(0), Just(DONT_FRAGMENT)],
        ip_options in prop_oneof![3 => Just(0), 1 => 1usize..3],
        tcp_options in prop_oneof![Just(TIMESTAMPS.to_vec()), prop::collection::vec(any::<u8>(), 0..41)],
    ) -> Packet {
        // Padding options: of IPv4 "no operation", of IPv6 destination options full of zeros.
        let mut ip_options = if v6 { vec![0; ip_options * 8] } else { vec![1; ip_options * 4] };
        if v6 && !ip_options.is_empty() {
            ip_options[1] = u8::try_from(ip_options.len() / 8 - 1).unwrap();
        }
        let whole_words = tcp_options.len() / 4 * 4;
        let tcp_options = tcp_options[..whole_words].to_vec();
        Packet { v6, udp, class, hop_limit, identification, fragment_flags, ip_options, port, sequence,
            acknowledgment, flags, window, tcp_options, payload: Vec::new() }
    }
}
