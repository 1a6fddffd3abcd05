//! ChaCha20-Poly1305 in ESP: RFC 7634 appendix A.

use super::{EspVector, run};

const APPENDIX_A: EspVector = EspVector {
    key: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
    nonce: "a0a1a2a31011121314151617",
    header: "0102030400000005",
    text: "\
        45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec1000073627\
        08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b\
        2c2d2e2f303132333435363701020204",
    sealed: "\
        24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099\
        d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b50\
        2773f6fb94e664da9165b82829f641e0",
    icv: "76aaa8266b7fb0f7b11b369907e1ad43",
};

#[test]
fn chacha20_poly1305_makes_and_opens_the_rfcs_packet() {
    run(&APPENDIX_A, "chacha20poly1305", 16);
}
