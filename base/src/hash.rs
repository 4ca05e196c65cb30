//! SHA-256, as hexadecimal text.

use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::files::{self, FileError};

/// The sum of bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Sum and size of a file.
///
/// # Errors
/// It cannot be read.
pub fn sha256_file(path: &Path) -> Result<(String, u64), FileError> {
    let mut file = files::open(path).map_err(FileError::io("open", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        match file.read(&mut buffer).map_err(FileError::io("read", path))? {
            0 => return Ok((hex::encode(hasher.finalize()), size)),
            n => {
                size += n as u64;
                hasher.update(&buffer[..n]);
            }
        }
    }
}

/// Whether this is a SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
