//! Messages of a major version that is not ours (RFC 7296 §2.5).

use super::context::{Context, Path};
use super::draft::Draft;
use crate::error::IkeError;
use crate::wire::{Flags, Header, WireError};

/// A higher version is told which one we speak, unauthenticated, in a header like that of the request (RFC 7296 §1.5).
/// Nothing is kept, what goes out is no longer than what came in, and no answer is answered. IKEv1 is not: the RFC
/// speaks of higher versions.
pub(crate) fn refuse_version(ctx: &mut Context<'_>, datagram: &[u8], path: Path, error: WireError) {
    let Some(request) = Header::of_higher_version(datagram).filter(|header| !header.flags.response) else {
        return;
    };
    let flags = Flags { initiator: !request.flags.initiator, response: true, version: false };
    let mut draft = Draft::clear(Header { flags, ..request });
    let (kind, data) = IkeError::from(error).notification();
    draft.notify(kind, &data);
    if let Ok(message) = draft.into_message()
        && message.len() <= datagram.len()
    {
        ctx.send_clear(path, &message);
    }
}
