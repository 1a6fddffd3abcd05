//! What this node tells the coordinator that it has.

use std::collections::BTreeSet;

use twinmesh_control::{FEATURE_AES, FEATURE_COMPLIANCE, FEATURE_ESP};

/// For [`twinmesh_control::Hello`] and [`twinmesh_control::Enrol`].
pub(super) fn features() -> BTreeSet<String> {
    let always = [FEATURE_ESP, FEATURE_COMPLIANCE];
    always.into_iter().chain(has_aes().then_some(FEATURE_AES)).map(str::to_owned).collect()
}

/// Instructions for AES and for GCM's multiplication.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}
