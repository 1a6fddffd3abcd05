//! Groups modulo a prime over elliptic curves (RFC 5903).

use p256::NistP256;
use p256::elliptic_curve::ecdh::diffie_hellman;
use p256::elliptic_curve::sec1::{FromEncodedPoint, ModulusSize, ToEncodedPoint};
use p256::elliptic_curve::{
    AffinePoint, Curve, CurveArithmetic, FieldBytes, FieldBytesSize, PublicKey, SecretKey,
};
use p384::NistP384;
use p521::NistP521;
use zeroize::Zeroizing;

pub(super) enum Ecp {
    P256(SecretKey<NistP256>),
    P384(SecretKey<NistP384>),
    P521(SecretKey<NistP521>),
}

impl Ecp {
    pub(super) fn generate_256(random: &mut dyn FnMut(&mut [u8])) -> (Vec<u8>, Self) {
        let secret = generate(0xff, random);
        (public(&secret), Self::P256(secret))
    }

    pub(super) fn generate_384(random: &mut dyn FnMut(&mut [u8])) -> (Vec<u8>, Self) {
        let secret = generate(0xff, random);
        (public(&secret), Self::P384(secret))
    }

    pub(super) fn generate_521(random: &mut dyn FnMut(&mut [u8])) -> (Vec<u8>, Self) {
        // 521 bits are 65 bytes and 1 bit.
        let secret = generate(0x01, random);
        (public(&secret), Self::P521(secret))
    }

    /// `None` for what is no point of the curve.
    pub(super) fn agree(&self, peer: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::P256(secret) => agree(secret, peer),
            Self::P384(secret) => agree(secret, peer),
            Self::P521(secret) => agree(secret, peer),
        }
    }
}

/// Bytes are drawn until they are a scalar from 1 to the order less 1; almost always the first are.
fn generate<C: Curve>(first_byte_mask: u8, random: &mut dyn FnMut(&mut [u8])) -> SecretKey<C> {
    loop {
        let mut bytes = Zeroizing::new(vec![0; FieldBytes::<C>::default().len()]);
        random(&mut bytes);
        if let Some(first) = bytes.first_mut() {
            *first &= first_byte_mask;
        }
        if let Ok(secret) = SecretKey::from_slice(&bytes) {
            return secret;
        }
    }
}

/// Both coordinates, without the byte that SEC1 puts before them (RFC 5903 §7).
fn public<C>(secret: &SecretKey<C>) -> Vec<u8>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
{
    let point = secret.public_key().to_encoded_point(false);
    point.as_bytes().iter().skip(1).copied().collect()
}

/// The shared secret is the x coordinate alone (RFC 5903 §7). The point is checked to be on the curve (RFC 6989 §2.3);
/// the one at infinity cannot be written in this form.
fn agree<C>(secret: &SecretKey<C>, peer: &[u8]) -> Option<Zeroizing<Vec<u8>>>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
{
    const UNCOMPRESSED: u8 = 4;
    let encoded: Vec<u8> = std::iter::once(UNCOMPRESSED).chain(peer.iter().copied()).collect();
    let peer = PublicKey::<C>::from_sec1_bytes(&encoded).ok()?;
    let shared = diffie_hellman(secret.to_nonzero_scalar(), peer.as_affine());
    Some(Zeroizing::new(shared.raw_secret_bytes().to_vec()))
}
