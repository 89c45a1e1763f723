//! Where randomness comes from: the system in production, a seed in tests.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// A source of random bytes.
pub trait Entropy: Send {
    /// Fills the buffer.
    fn fill(&mut self, buffer: &mut [u8]);
}

/// The system's cryptographic random numbers.
#[derive(Debug, Default)]
pub struct SystemEntropy(SystemRandom);

impl Entropy for SystemEntropy {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0
            .fill(buffer)
            .expect("the system has random numbers, or nothing here is safe");
    }
}

pub(crate) const BASE62: &[u8; 62] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `length` random letters and digits, 5.95 bits each, every one as likely as the others.
pub fn base62(entropy: &mut dyn Entropy, length: usize) -> String {
    let mut text = String::with_capacity(length);
    let mut buffer = [0u8; 32];
    while text.len() < length {
        entropy.fill(&mut buffer);
        // 248 = 4 * 62: dropping the rest keeps the letters equally likely.
        let fair = buffer.iter().filter(|byte| **byte < 248);
        let letters = fair.map(|byte| char::from(BASE62[usize::from(*byte) % 62]));
        text.extend(letters.take(length - text.len()));
    }
    text
}
