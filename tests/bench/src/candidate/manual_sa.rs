//! SAs keyed by hand, as `twinmesh sa add` takes them.

use std::net::IpAddr;

/// A suite as a file names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    /// Bytes of one direction's key.
    pub(crate) key: usize,
}

pub(crate) const AES_128_GCM_16: Suite = Suite { name: "aes128gcm16", key: 20 };
pub(crate) const CHACHA20_POLY1305: Suite = Suite { name: "chacha20poly1305", key: 36 };
/// Framing without cryptography.
pub(crate) const NULL: Suite = Suite { name: "null", key: 0 };

/// One tunnel between two ends, 0 and 1.
pub(crate) struct ManualSa {
    /// Tells tunnels of one pair apart; SPIs and keys come out of it.
    pub(crate) number: u32,
    pub(crate) suite: Suite,
    /// Addresses outside.
    pub(crate) outer: [IpAddr; 2],
    /// What may pass on each side.
    pub(crate) selectors: [IpAddr; 2],
}

impl ManualSa {
    /// One end's table. Nodes agree on partial checksums where their IKE made the keys; here both are told.
    pub(crate) fn table(&self, me: usize) -> String {
        let peer = 1 - me;
        format!(
            "[[sa]]\nname = \"tunnel-{}\"\nmode = \"tunnel\"\nsuite = \"{}\"\nremote = \"{}:4500\"\n\
             allow_null = true\npartial_checksums = true\nlocal_ts = [\"{}\"]\nremote_ts = [\"{}\"]\n\
             inbound = {{ spi = \"{:08x}\", key = \"{}\" }}\noutbound = {{ spi = \"{:08x}\", key = \"{}\" }}\n",
            self.number,
            self.suite.name,
            self.outer[peer],
            self.selectors[me],
            self.selectors[peer],
            self.spi(me),
            self.key(me),
            self.spi(peer),
            self.key(peer),
        )
    }

    /// Of what goes to that end.
    fn spi(&self, end: usize) -> u32 {
        0x8000_0100 + 2 * self.number + u32::from(end == 1)
    }

    /// In hexadecimal digits; the SPI makes it unique. It protects nothing but a measurement.
    fn key(&self, end: usize) -> String {
        let bytes = self.spi(end).to_be_bytes().into_iter().cycle();
        bytes.take(self.suite.key).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_end_sends_by_the_other_takes() {
        let outer = ["192.0.2.1", "192.0.2.2"].map(|it| it.parse().unwrap());
        let selectors = ["198.51.100.1", "198.51.100.2"].map(|it| it.parse().unwrap());
        let sa = ManualSa { number: 3, suite: AES_128_GCM_16, outer, selectors };
        let line = |me: usize, start: &str| {
            let table = sa.table(me);
            let line = table.lines().find(|line| line.starts_with(start)).unwrap();
            line.split_once(" = ").unwrap().1.to_owned()
        };
        assert_eq!(line(0, "inbound"), line(1, "outbound"));
        assert_eq!(line(0, "outbound"), line(1, "inbound"));
        assert_ne!(line(0, "inbound"), line(0, "outbound"));
        assert_eq!(line(0, "local_ts"), line(1, "remote_ts"));
        assert_eq!(line(0, "remote ="), "\"192.0.2.2:4500\"");
        assert_eq!(sa.key(0).len(), 40);
    }
}
