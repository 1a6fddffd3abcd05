use std::borrow::Cow;

use super::error::{WireError, WireErrorKind, WriteError};
use super::proposal::Proposal;
use super::reader::Reader;

/// RFC 7296 §3.3: proposals, the preferred one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityAssociation<'a> {
    body: Cow<'a, [u8]>,
}

impl<'a> SecurityAssociation<'a> {
    pub fn new(proposals: &[Proposal]) -> Result<SecurityAssociation<'static>, WriteError> {
        let mut body = Vec::new();
        let mut proposals = proposals.iter().peekable();
        while let Some(proposal) = proposals.next() {
            proposal.write(proposals.peek().is_none(), &mut body)?;
        }
        Ok(SecurityAssociation { body: Cow::Owned(body) })
    }

    pub fn proposals(&self) -> impl Iterator<Item = Proposal> {
        let mut reader = Reader::new(&self.body, 0, None);
        std::iter::from_fn(move || {
            let mut transforms = Vec::new();
            let (proposal, _) = Proposal::walk(&mut reader, |transform| transforms.push(transform)).ok()?;
            Some(Proposal { transforms, ..proposal })
        })
    }

    pub(super) fn parse(reader: Reader<'a>) -> Result<Self, WireError> {
        let mut walk = reader.clone();
        loop {
            let (_, more) = Proposal::walk(&mut walk, |_| ())?;
            if more != if walk.is_empty() { 0 } else { 2 } {
                return Err(walk.error(WireErrorKind::CountMismatch));
            }
            if walk.is_empty() {
                return Ok(Self { body: Cow::Borrowed(reader.rest()) });
            }
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.body);
    }
}
