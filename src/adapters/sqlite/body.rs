//! Stored bodies, compressed if that makes them smaller. GitHub's JSON shrinks to a third or less.

use crate::ports::Failure;
use rusqlite::Row;

/// The body as received.
const RAW: i64 = 0;
/// An LZ4 block after its length in four bytes, little-endian.
const LZ4: i64 = 1;

pub(super) struct StoredBody {
    pub(super) encoding: i64,
    pub(super) bytes: Vec<u8>,
}

impl StoredBody {
    pub(super) fn pack(body: Vec<u8>) -> Self {
        let compressed = lz4_flex::compress_prepend_size(&body);
        let (encoding, bytes) = if compressed.len() < body.len() {
            (LZ4, compressed)
        } else {
            (RAW, body)
        };
        Self { encoding, bytes }
    }

    /// Parses the columns `encoding` and `bytes`.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            encoding: row.get("encoding")?,
            bytes: row.get("bytes")?,
        })
    }

    pub(super) fn unpack(self) -> Result<Vec<u8>, Failure> {
        match self.encoding {
            RAW => Ok(self.bytes),
            LZ4 => lz4_flex::decompress_size_prepended(&self.bytes)
                .map_err(|error| Failure::Permanent(format!("a stored body is damaged: {error}"))),
            other => Err(Failure::Permanent(format!(
                "a stored body has the unknown encoding {other}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_compressed_only_if_that_makes_it_smaller() {
        let text = br#"{"action":"queued"}"#.repeat(100);
        let packed = StoredBody::pack(text.clone());
        assert!(packed.encoding == LZ4 && packed.bytes.len() * 3 < text.len());
        assert_eq!(packed.unpack(), Ok(text));
        let packed = StoredBody::pack(b"short".to_vec());
        assert_eq!((packed.encoding, packed.bytes.as_slice()), (RAW, &b"short"[..]));
    }

    #[test]
    fn damage_is_reported() {
        let packed = |encoding, bytes: &[u8]| StoredBody {
            encoding,
            bytes: bytes.to_vec(),
        };
        assert!(matches!(
            packed(LZ4, b"\x05\0\0\0").unpack(),
            Err(Failure::Permanent(_))
        ));
        assert!(matches!(packed(9, b"").unpack(), Err(Failure::Permanent(_))));
    }
}
