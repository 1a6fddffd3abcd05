//! A change of path, in words for the history.

use twinmesh_path::pair::{Path, Why};

/// What is told of the path that is taken from now on; nothing where only its size is another.
pub(super) fn news(path: Option<Path>, why: Why) -> Option<String> {
    let cause = match why {
        Why::Proven => "checks were answered there",
        Why::Shorter => "its round trip is shorter",
        Why::Lost => "the one before does not answer any more",
        Why::Silent => "the one before answers checks, but passes nothing",
        Why::Relay => "nothing direct is proven",
        Why::Idle => "nothing was sent for long",
        Why::Withdrawn => "the address before is gone",
        Why::Size => return None,
    };
    Some(match path {
        Some(path) if path.is_relayed() => format!("the path goes by relay now, to {}: {cause}", path.remote),
        Some(path) => format!("the path is direct now, to {}: {cause}", path.remote),
        None => format!("no path is proven any more: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use twinmesh_path::pair::Kind;

    use super::*;

    fn path(kind: Kind) -> Path {
        Path { remote: "192.0.2.9:4500".parse().unwrap(), kind, rtt: None, mtu: 1280 }
    }

    #[test]
    fn each_change_is_told_with_its_cause() {
        for (path, why, told) in [
            (
                Some(path(Kind::Relayed)),
                Why::Lost,
                "the path goes by relay now, to 192.0.2.9:4500: the one before does not answer any more",
            ),
            (
                Some(path(Kind::Reflexive)),
                Why::Proven,
                "the path is direct now, to 192.0.2.9:4500: checks were answered there",
            ),
            (None, Why::Withdrawn, "no path is proven any more: the address before is gone"),
        ] {
            assert_eq!(news(path, why).as_deref(), Some(told));
        }
        assert_eq!(news(Some(path(Kind::Host)), Why::Size), None);
    }
}
