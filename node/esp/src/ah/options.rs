//! Options of both families: which of them a router may change.

/// Options that lie about their length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadOption;

/// Strict and loose source route (RFC 791).
const SOURCE_ROUTES: [u8; 2] = [0x83, 0x89];

/// Zeroes, whole, the IPv4 options that are not listed as immutable (RFC 4302 §3.3.3.1.1.2, appendix A1).
/// Returns the last address of a source route that is yet to be travelled.
pub(super) fn mute_v4(options: &mut [u8]) -> Result<Option<[u8; 4]>, BadOption> {
    let mut last_hop = None;
    let mut rest = options;
    while let [kind, ..] = rest {
        let kind = *kind;
        match kind {
            // End of list: what follows is padding.
            0 => break,
            // No operation.
            1 => rest = rest.get_mut(1..).ok_or(BadOption)?,
            _ => {
                let len = usize::from(*rest.get(1).ok_or(BadOption)?);
                if len < 2 {
                    return Err(BadOption);
                }
                let (option, after) = rest.split_at_mut_checked(len).ok_or(BadOption)?;
                if SOURCE_ROUTES.contains(&kind) {
                    last_hop = pending_route(option)?.or(last_hop);
                }
                if !is_immutable(kind) {
                    option.fill(0);
                }
                rest = after;
            }
        }
    }
    Ok(last_hop)
}

/// Security, extended security, commercial security, router alert, sender directed multi-destination
/// delivery.
const fn is_immutable(kind: u8) -> bool {
    matches!(kind, 0x82 | 0x85 | 0x86 | 0x94 | 0x95)
}

/// RFC 791 §3.1: the route is empty once the pointer lies behind it.
fn pending_route(option: &[u8]) -> Result<Option<[u8; 4]>, BadOption> {
    let [_, len, pointer, route @ ..] = option else {
        return Err(BadOption);
    };
    if pointer > len {
        return Ok(None);
    }
    route.last_chunk().copied().map(Some).ok_or(BadOption)
}

/// Zeroes the data of the IPv6 options whose type says that it may change on the way (RFC 8200 §4.2); type
/// and length count (RFC 4302 §3.3.3.1.2.2). `options` is a hop-by-hop or destination options header without
/// its first two bytes.
pub(super) fn mute_v6(options: &mut [u8]) -> Result<(), BadOption> {
    const MAY_CHANGE: u8 = 0x20;
    let mut rest = options;
    while let [kind, ..] = rest {
        let kind = *kind;
        if kind == 0 {
            // Pad1 has no length.
            rest = rest.get_mut(1..).ok_or(BadOption)?;
            continue;
        }
        let len = usize::from(*rest.get(1).ok_or(BadOption)?);
        let (option, after) = rest.split_at_mut_checked(2 + len).ok_or(BadOption)?;
        if kind & MAY_CHANGE != 0 {
            option.iter_mut().skip(2).for_each(|byte| *byte = 0);
        }
        rest = after;
    }
    Ok(())
}
