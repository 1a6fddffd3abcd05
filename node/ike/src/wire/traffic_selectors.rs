use std::borrow::Cow;

use super::error::{WireError, WireErrorKind, WriteError};
use super::reader::Reader;
use super::traffic_selector::TrafficSelector;

/// RFC 7296 §3.13: TSi or TSr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficSelectors<'a> {
    count: u8,
    selectors: Cow<'a, [u8]>,
}

impl<'a> TrafficSelectors<'a> {
    pub fn new(selectors: &[TrafficSelector]) -> Result<TrafficSelectors<'static>, WriteError> {
        let count = u8::try_from(selectors.len()).map_err(|_| WriteError::ListTooLong)?;
        let mut body = Vec::new();
        for selector in selectors {
            selector.write(&mut body)?;
        }
        Ok(TrafficSelectors { count, selectors: Cow::Owned(body) })
    }

    /// Those of known types. Of others nothing can be accepted (RFC 7296 §3.13.1).
    pub fn selectors(&self) -> impl Iterator<Item = TrafficSelector> {
        let mut reader = Reader::new(&self.selectors, 0, None);
        std::iter::from_fn(move || TrafficSelector::parse(&mut reader).ok()).flatten()
    }

    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let count = reader.u8()?;
        reader.array::<3>()?;
        if count == 0 {
            return Err(reader.error(WireErrorKind::EmptyList));
        }
        let mut walk = reader.clone();
        for _ in 0..count {
            TrafficSelector::parse(&mut walk)?;
        }
        if !walk.is_empty() {
            return Err(walk.error(WireErrorKind::CountMismatch));
        }
        Ok(Self { count, selectors: Cow::Borrowed(reader.rest()) })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.count, 0, 0, 0]);
        out.extend_from_slice(&self.selectors);
    }
}
