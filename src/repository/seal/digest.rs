//! Sums of contents. The one file that names the crates which compute them. Pure.

use super::super::name::Shown;
use inferlay_backend_sdk::Error;
use sha2::Digest as _;
use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

/// How the sum of a file is computed. Either is beyond forging today.
///
/// # Examples
/// ```
/// use inferlay::Algorithm;
/// assert_eq!("BLAKE3".parse::<Algorithm>()?, Algorithm::Blake3);
/// assert_eq!(Algorithm::default().name(), "SHA256");
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256, which every system can check: `sha256sum --check inferlay.manifest`.
    #[default]
    Sha256,
    /// BLAKE3, a few times faster on large files.
    Blake3,
}

impl Algorithm {
    const ALL: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Blake3];

    /// Its name in a manifest.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(inferlay::Algorithm::Blake3.name(), "BLAKE3");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "SHA256",
            Algorithm::Blake3 => "BLAKE3",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| Error::invalid_arg(format!("found {}, expected SHA256 or BLAKE3", Shown::text(name))))
    }
}

/// The sum of a content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum(pub(super) [u8; 32]);

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A sum under way, fed by writing into it.
pub(super) enum Summing {
    Sha256(sha2::Sha256),
    Blake3(Box<blake3::Hasher>),
}

impl Summing {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Summing::Sha256(sha2::Sha256::new()),
            Algorithm::Blake3 => Summing::Blake3(Box::default()),
        }
    }

    /// The sum of one content.
    pub(super) fn of(algorithm: Algorithm, content: &[u8]) -> Sum {
        let mut summing = Summing::new(algorithm);
        summing.add(content);
        summing.sum()
    }

    fn add(&mut self, bytes: &[u8]) {
        match self {
            Summing::Sha256(state) => state.update(bytes),
            Summing::Blake3(state) => drop(state.update(bytes)),
        }
    }

    pub(super) fn sum(self) -> Sum {
        match self {
            Summing::Sha256(state) => Sum(state.finalize().into()),
            Summing::Blake3(state) => Sum(state.finalize().into()),
        }
    }
}

impl Write for Summing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that hexadecimal digits stand for, if there are exactly so many.
pub(super) fn unhex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if digits.len() != 2 * N || !digits.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sums_are_those_that_everybody_computes() {
        let rows = [
            (Algorithm::Sha256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (Algorithm::Sha256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (Algorithm::Blake3, "", "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
            (Algorithm::Blake3, "abc", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
        ];
        for (algorithm, content, sum) in rows {
            assert_eq!(Summing::of(algorithm, content.as_bytes()).to_string(), sum, "{algorithm} of {content:?}");
        }
    }

    proptest! {
        #[test]
        fn hexadecimal_digits_come_back_as_bytes(bytes in any::<[u8; 32]>(), junk in ".{0,70}") {
            prop_assert_eq!(unhex::<32>(&hex(&bytes)), Some(bytes));
            prop_assert_eq!(unhex::<32>(&hex(&bytes).to_uppercase()), Some(bytes));
            prop_assert_eq!(unhex::<31>(&hex(&bytes)), None);
            if let Some(read) = unhex::<32>(&junk) {
                prop_assert_eq!(hex(&read), junk.to_lowercase());
            }
        }

        #[test]
        fn a_content_in_pieces_has_the_sum_of_the_whole(content in prop::collection::vec(any::<u8>(), 0..500), at in 0..500usize) {
            for algorithm in Algorithm::ALL {
                let (head, tail) = content.split_at(at.min(content.len()));
                let mut summing = Summing::new(algorithm);
                summing.write_all(head).unwrap();
                summing.write_all(tail).unwrap();
                prop_assert_eq!(summing.sum(), Summing::of(algorithm, &content));
            }
        }
    }
}
