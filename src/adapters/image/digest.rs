//! The sha256 of files.

use super::ImageError;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::Path;

/// Returns the sha256 of a file in hexadecimal digits.
pub(super) fn of_file(path: &Path) -> Result<String, ImageError> {
    let failed = ImageError::of(path);
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(&failed)?;
    io::copy(&mut file, &mut hash).map_err(&failed)?;
    Ok(hex::encode(hash.finalize()))
}
