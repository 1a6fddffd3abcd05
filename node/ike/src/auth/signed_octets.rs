use zeroize::Zeroizing;

use super::Identity;

/// The negotiated pseudo-random function: key, data.
pub type PrfFn<'a> = &'a dyn Fn(&[u8], &[u8]) -> Zeroizing<Vec<u8>>;

/// What an AUTH payload signs: the exact octets of a side's IKE_SA_INIT message, the other side's nonce, and
/// the side's identity under its SK_p (RFC 7296 §2.15).
pub struct SignedOctets(Zeroizing<Vec<u8>>);

impl SignedOctets {
    /// `message` is the side's own IKE_SA_INIT as it went over the wire the last time, cookie included, without
    /// the non-ESP marker; `other_nonce` the data of the other side's nonce payload; `identity` the side's own.
    pub fn new(message: &[u8], other_nonce: &[u8], identity: &Identity, sk_p: &[u8], prf: PrfFn<'_>) -> Self {
        Self::from_identity_payload(message, other_nonce, &identity.payload_body(), sk_p, prf)
    }

    /// As [`SignedOctets::new`], with the body of an identification payload as it was received (RestOfIDPayload:
    /// reserved octets included), which is what the peer computed over.
    pub fn from_identity_payload(
        message: &[u8],
        other_nonce: &[u8],
        identity_body: &[u8],
        sk_p: &[u8],
        prf: PrfFn<'_>,
    ) -> Self {
        let maced_identity = prf(sk_p, identity_body);
        Self(Zeroizing::new([message, other_nonce, &maced_identity].concat()))
    }

    /// With IntAuth of the IKE_INTERMEDIATE exchanges behind: `IntAuth_iN | IntAuth_rN | IKE_AUTH message id`
    /// (RFC 9242 §3.3.2).
    #[must_use]
    pub fn with_intermediate(self, int_auth: &[u8]) -> Self {
        Self(Zeroizing::new([self.0.as_slice(), int_auth].concat()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
