//! Opening a message, with what a trace tells of it.

use super::context::{Context, Path};
use super::secure::{NotOpened, Opened, Secure};
use crate::trace::{Discarded, Traced, TracedMessage};
use crate::wire::{EncryptedFragment, Message, Payload};

/// The message, once it is whole.
pub(super) fn open(
    secure: &mut Secure,
    ctx: &mut Context<'_>,
    message: &Message<'_>,
    path: Path,
) -> Result<Option<Opened>, Discarded> {
    let opened = match secure.open(ctx.now, message) {
        Ok(opened) => Some(opened),
        Err(NotOpened::Incomplete) => None,
        Err(NotOpened::NotSealed) => return Err(Discarded::NotSealed),
        Err(NotOpened::Forged) => return Err(Discarded::Forged),
    };
    if ctx.shared.tracing.messages {
        ctx.trace(path, told(message, opened.as_ref()));
    }
    Ok(opened)
}

fn told(message: &Message<'_>, opened: Option<&Opened>) -> Traced {
    let fragment = match message.payloads().next() {
        Some(Ok(Payload::EncryptedFragment(EncryptedFragment { number, total, .. }))) => (number, total),
        Some(_) | None => (1, 1),
    };
    let (number, total) = fragment;
    match opened {
        Some(Opened { first, content }) => {
            Traced::Received(TracedMessage::opened(message, usize::from(total), *first, content))
        }
        None => Traced::Fragment { header: message.header, number, total },
    }
}
