//! Why a packet went no further.

macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])+ $variant:ident => $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[doc = $doc])+ $variant,)+ }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Kebab-case, stable.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// Why an inbound packet was dropped.
    DropReason {
        /// Shorter than header, IV, trailer and ICV, or not a multiple of the cipher's block.
        Truncated => "esp-truncated",
        /// No SA of that SPI (RFC 4303 §3.4.2).
        UnknownSpi => "esp-unknown-spi",
        /// Sequence number 0, which no sender uses (RFC 4303 §3.3.3).
        SequenceZero => "esp-sequence-zero",
        /// Seen before.
        Replayed => "esp-replayed",
        /// Behind the window.
        BehindWindow => "esp-behind-window",
        /// The ICV does not fit: forged, damaged, or another key.
        Forged => "esp-forged",
        /// The padding is longer than the packet, or its bytes are not 1, 2, 3… (RFC 4303 §2.4).
        BadPadding => "esp-bad-padding",
        /// Tunnel mode with a next header that is no IP packet.
        NotTunnelled => "esp-not-tunnelled",
        /// Transport mode with an IP packet inside: the sender tunnels.
        NotTransported => "esp-not-transported",
        /// The inner packet is none, or lies about its length.
        InnerMalformed => "esp-inner-malformed",
        /// Authentic, but outside the SA's selectors (RFC 4301 §5.2 step 4).
        OutsideSelectors => "esp-outside-selectors",
        /// The SA's hard lifetime is over.
        Expired => "esp-expired",
        /// A dummy packet (next header 59), dropped as it should be (RFC 4303 §2.6).
        Dummy => "esp-dummy",
        /// The outer header carries CE and the inner one cannot (RFC 6040 §4.2).
        EcnDrop => "esp-ecn",
    }
}

reasons! {
    /// Why an outbound packet was not sealed.
    SealError {
        /// The caller's buffer is too short.
        BufferTooShort => "esp-buffer-too-short",
        /// The packet is no whole IP packet.
        Malformed => "esp-malformed",
        /// All sequence numbers are used up: the SA stops for good (RFC 4303 §3.3.3).
        SequenceExhausted => "esp-sequence-exhausted",
        /// The SA's hard lifetime is over.
        Expired => "esp-sa-expired",
        /// A fragment cannot go through transport mode (RFC 4303 §3.3.4).
        Fragment => "esp-fragment",
    }
}
