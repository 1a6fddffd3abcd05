//! `HOST[:PORT]` of a coordinator, as people write it.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use twinmesh_control::DEFAULT_CONTROL_PORT;

/// Text that names no coordinator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not HOST or HOST:PORT (an IPv6 address with a port is written [ADDRESS]:PORT)")]
pub struct AddressError(String);

/// A host name or IP address, and the port of the control channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CoordinatorAddress {
    host: String,
    port: u16,
}

impl CoordinatorAddress {
    /// Asks the resolver; every address of both families, in its order.
    pub async fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        let mut addresses = Vec::new();
        for address in tokio::net::lookup_host((self.host.as_str(), self.port)).await? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }
}

impl FromStr for CoordinatorAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError(text.to_owned());
        let text = text.trim();
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(error)?;
            host.parse::<Ipv6Addr>().map_err(|_| error())?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(error()),
            }
        } else if text.parse::<Ipv6Addr>().is_ok() {
            (text, None)
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(error)?,
            None => DEFAULT_CONTROL_PORT,
        };
        let odd = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '/';
        let is_ipv6 = host.parse::<Ipv6Addr>().is_ok();
        if host.is_empty() || host.contains(odd) || (host.contains(':') && !is_ipv6) {
            return Err(error());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for CoordinatorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl TryFrom<String> for CoordinatorAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<CoordinatorAddress> for String {
    fn from(address: CoordinatorAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_coordinator_is_named_by_host_with_or_without_port() {
        for (text, shown) in [
            ("hub", "hub:7443"),
            ("hub.example.net:443", "hub.example.net:443"),
            ("192.0.2.1", "192.0.2.1:7443"),
            ("2001:db8::1", "[2001:db8::1]:7443"),
            ("[2001:db8::1]", "[2001:db8::1]:7443"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ] {
            let address: CoordinatorAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
    }

    #[test]
    fn text_that_names_no_host_and_port_is_refused() {
        for text in [
            "",
            ":7443",
            "hub:",
            "hub:0",
            "hub:65536",
            "hub:x",
            "a b",
            "https://hub",
            "[hub]:1",
            "[::1]1",
            "1:2:3",
        ] {
            assert!(text.parse::<CoordinatorAddress>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_reads_back_the_same(text in "(\\[|)[a-z0-9.:-]{0,20}(\\]|)(:[0-9]{0,6}|)") {
            if let Ok(address) = text.parse::<CoordinatorAddress>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            if let Ok(address) = text.parse::<CoordinatorAddress>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }

        #[test]
        fn every_socket_address_is_taken_as_it_is_written(ip in any::<std::net::IpAddr>(), port in 1..=u16::MAX) {
            let address = SocketAddr::new(ip, port);
            let parsed: CoordinatorAddress = address.to_string().parse().unwrap();
            prop_assert_eq!(parsed.to_string(), address.to_string());
        }
    }
}
