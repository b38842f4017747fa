//! The storage format of bodies: one byte for the encoding, and the body, compressed if that makes it smaller.

/// The body as received.
const PLAIN: u8 = b'0';
/// An lz4 block after its size.
const LZ4: u8 = b'1';

pub(super) fn pack(body: &[u8]) -> Vec<u8> {
    let compressed = lz4_flex::compress_prepend_size(body);
    let (encoding, stored) = if compressed.len() < body.len() {
        (LZ4, compressed.as_slice())
    } else {
        (PLAIN, body)
    };
    let mut packed = Vec::with_capacity(stored.len() + 1);
    packed.push(encoding);
    packed.extend_from_slice(stored);
    packed
}

/// Returns the body; none if [`pack`] did not create this value.
pub(super) fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    match packed.split_first()? {
        (&PLAIN, body) => Some(body.to_vec()),
        (&LZ4, sized) => {
            let (size, compressed) = lz4_flex::block::uncompressed_size(sized).ok()?;
            let body = lz4_flex::decompress(compressed, size).ok()?;
            (body.len() == size).then_some(body)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_compressed_only_if_that_makes_it_smaller() {
        let long = vec![b'x'; 1000];
        for body in [&b""[..], b"short", &long] {
            let packed = pack(body);
            assert!(packed.len() <= body.len() + 1);
            assert_eq!(unpack(&packed).as_deref(), Some(body));
        }
        assert!(pack(&long).len() < 100);
    }

    #[test]
    fn an_invalid_packed_body_is_rejected() {
        for bad in [&b""[..], b"{}", b"1", b"1\xff\xff\xff\xff", b"1\x05\0\0\0\0"] {
            assert_eq!(unpack(bad), None, "{bad:?}");
        }
    }
}
