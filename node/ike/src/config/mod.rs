//! What a site is configured with, and the three decisions that follow from it: which proposal, which selectors, and
//! what to tell the one who has to change something.

mod algorithm;
mod connection;
mod diagnosis;
mod narrow;
mod proposal;
mod selection;
mod vendor;

pub use algorithm::{Transform, TransformKind};
pub use connection::{
    CertificatePolicy, ChildConfig, Childless, ConnectionConfig, EncapsulationPolicy, Lifetime, Mode, Quirks,
    Remote, StartAction, Uniqueness,
};
pub use diagnosis::NoProposalChosen;
pub use narrow::{
    MOST_SELECTORS, Narrowing, SelectorPair, SelectorsRefused, TrafficSelector, is_narrowed, narrow,
};
pub use proposal::{Legacy, Proposal, ProposalError, Protocol};
pub use selection::{BadAnswer, Choice, KeyExchanges, Offer, check_answer, select};
pub use vendor::{UnknownVendor, Vendor};
