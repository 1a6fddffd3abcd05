//! How messages go to this peer: repetitions, fragments, whether the first child comes with the IKE SA, and how many of them
//! there may be.

use toml::Spanned;
use twinmesh_ike::Retransmission;
use twinmesh_ike::config::{Childless, ConnectionConfig, Uniqueness};

use super::check::{Checked, at, time};
use super::error::Problem;
use super::file::{ChildlessName, RetransmissionTable, SiteTable, UniquenessName};
use crate::sa::Number;

/// Every host can take an IPv4 packet of so many bytes (RFC 791 §3.1).
const SMALLEST_FRAGMENT: u64 = 576;
const LARGEST_FRAGMENT: u64 = 65_535;
/// With the default factor it would take days to give up after more.
const MOST_TRIES: u32 = 20;
const LARGEST_FACTOR: f64 = 10.0;

/// Settings of the engine for one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchanges {
    retransmission: Retransmission,
    fragment_size: Option<usize>,
    childless: Childless,
    uniqueness: Uniqueness,
}

impl Exchanges {
    pub(super) fn of(table: &SiteTable) -> Checked<Self> {
        Ok(Self {
            retransmission: retransmission(&table.retransmission)?,
            fragment_size: table.fragment_size.as_ref().map(fragment_size).transpose()?,
            childless: match table.childless {
                ChildlessName::Allow => Childless::Allow,
                ChildlessName::Prefer => Childless::Prefer,
                ChildlessName::Require => Childless::Require,
                ChildlessName::Never => Childless::Never,
            },
            uniqueness: match table.uniqueness {
                UniquenessName::Replace => Uniqueness::Replace,
                UniquenessName::Keep => Uniqueness::Keep,
                UniquenessName::Multiple => Uniqueness::Multiple,
            },
        })
    }

    pub(super) fn apply(self, connection: &mut ConnectionConfig) {
        connection.retransmission = Some(self.retransmission);
        connection.fragment_size = self.fragment_size;
        connection.childless = self.childless;
        connection.uniqueness = self.uniqueness;
    }
}

fn retransmission(table: &RetransmissionTable) -> Checked<Retransmission> {
    let mut wanted = Retransmission::default();
    wanted.first = time(table.first.as_ref())?.unwrap_or(wanted.first);
    wanted.longest = time(table.longest.as_ref())?.unwrap_or(wanted.longest);
    if let Some(written) = &table.factor {
        wanted.factor = tenths(*written.as_ref()).ok_or_else(|| at(written, Problem::Factor))?;
    }
    if let Some(written) = &table.tries {
        let tries = Some(*written.as_ref()).filter(|tries| (1..=MOST_TRIES).contains(tries));
        wanted.tries = tries.ok_or_else(|| at(written, Problem::Tries))?;
    }
    Ok(wanted)
}

fn tenths(factor: f64) -> Option<u32> {
    let allowed = (1.0..=LARGEST_FACTOR).contains(&factor);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 10 to 100")]
    allowed.then_some((factor * 10.0).round() as u32)
}

fn fragment_size(written: &Spanned<Number>) -> Checked<usize> {
    let bytes = crate::sa::bytes(written.as_ref()).map_err(|problem| at(written, problem))?;
    let allowed = (SMALLEST_FRAGMENT..=LARGEST_FRAGMENT).contains(&bytes);
    usize::try_from(bytes).ok().filter(|_| allowed).ok_or_else(|| at(written, Problem::FragmentSize))
}
