//! Proofs of knowing the shared secret, and the challenges that ask for them.
//!
//! MAAS's challenges are 16 random bytes, and nothing ties a proof to a connection or a direction:
//! whoever relays a challenge to somebody who knows the secret gets a valid proof. Ours are 8
//! random bytes and 8 that show, to those who know the secret, which role asked. A process that is
//! asked to answer a challenge of its own role refuses: regions are only ever challenged by
//! clusters, and clusters by regions. A stock peer sees 16 bytes.

use amp_proto::{Arguments as _, AskResult, AskStopped, Lost, RoleName};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::handshake::HandshakeError;
use crate::commands::Authenticated;
use crate::secret::Secret;

const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 8;

/// Answers a challenge.
pub(crate) fn proof(secret: &Secret, message: &[u8]) -> Authenticated {
    let salt: [u8; SALT_BYTES] = rand::rng().random();
    let digest = code(secret, &[message, &salt]);
    Authenticated { digest: Bytes::copy_from_slice(&digest), salt: Bytes::copy_from_slice(&salt) }
}

pub(super) fn judge(
    outcome: AskResult,
    challenge: &[u8],
    secret: &Secret,
) -> Result<(), HandshakeError> {
    let received = match outcome {
        Ok(received) => received,
        Err(AskStopped::Error { code, description }) => {
            return Err(HandshakeError::Refused { code, description });
        }
        Err(AskStopped::Lost { lost, .. }) => return Err(HandshakeError::Lost(lost)),
        Err(_) => return Err(HandshakeError::Lost(Lost::ClosedHere)),
    };
    let Ok(Authenticated { digest, salt }) = Authenticated::decode(&received.fields()) else {
        return Err(HandshakeError::WrongSecret);
    };
    let expected = code(secret, &[challenge, &salt]);
    if bool::from(expected.ct_eq(&digest[..])) { Ok(()) } else { Err(HandshakeError::WrongSecret) }
}

pub(super) fn challenge(secret: &Secret, role: RoleName) -> Vec<u8> {
    let nonce: [u8; NONCE_BYTES] = rand::rng().random();
    let mut challenge = nonce.to_vec();
    challenge.extend_from_slice(&mark(secret, role, &nonce));
    challenge
}

/// Whether a challenge was made by a process of this role that knows the secret.
pub(crate) fn is_challenge_of(challenge: &[u8], secret: &Secret, role: RoleName) -> bool {
    let Some((nonce, rest)) = challenge.split_at_checked(NONCE_BYTES) else { return false };
    bool::from(mark(secret, role, nonce).ct_eq(rest))
}

fn mark(secret: &Secret, role: RoleName, nonce: &[u8]) -> [u8; NONCE_BYTES] {
    let code = code(secret, &[b"ampmesh challenge by ", role.as_str().as_bytes(), b": ", nonce]);
    code.first_chunk().copied().unwrap_or_default()
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn code(secret: &Secret, parts: &[&[u8]]) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("a key of any length");
    parts.iter().for_each(|part| hmac.update(part));
    hmac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::from_hex("00112233445566778899aabbccddeeff").unwrap()
    }

    #[test]
    fn the_proof_is_the_one_that_maas_gives() {
        let digest = code(&secret(), &[&[b'm'; 16], &[b's'; 16]]);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "29fd9f8470b687dc74406b849d45a59ddfb68b83743b49f19fd99fca37defcbb");
    }

    #[test]
    fn a_challenge_shows_its_role_to_those_who_know_the_secret_and_to_nobody_else() {
        let challenge = challenge(&secret(), RoleName::Region);
        assert_eq!(challenge.len(), 16);
        assert!(is_challenge_of(&challenge, &secret(), RoleName::Region));
        assert!(!is_challenge_of(&challenge, &secret(), RoleName::Cluster));
        assert!(!is_challenge_of(&challenge, &Secret::generate(), RoleName::Region));
        assert!(!is_challenge_of(b"short", &secret(), RoleName::Region));
    }
}
