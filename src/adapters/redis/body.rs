//! How a body is stored: a byte that says how, and the body, compressed when that makes it smaller.

/// As received.
const PLAIN: u8 = b'0';
/// An lz4 block after its size.
const LZ4: u8 = b'1';

pub(super) fn pack(body: &[u8]) -> Vec<u8> {
    let compressed = lz4_flex::compress_prepend_size(body);
    let (how, stored) = if compressed.len() < body.len() {
        (LZ4, compressed.as_slice())
    } else {
        (PLAIN, body)
    };
    let mut packed = Vec::with_capacity(stored.len() + 1);
    packed.push(how);
    packed.extend_from_slice(stored);
    packed
}

/// The body; none if this is nothing that [`pack`] made.
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
    fn bodies_are_compressed_only_to_their_advantage() {
        let long = vec![b'x'; 1000];
        for body in [&b""[..], b"short", &long] {
            let packed = pack(body);
            assert!(packed.len() <= body.len() + 1);
            assert_eq!(unpack(&packed).as_deref(), Some(body));
        }
        assert!(pack(&long).len() < 100);
    }

    #[test]
    fn what_is_no_packed_body_is_refused() {
        for bad in [&b""[..], b"{}", b"1", b"1\xff\xff\xff\xff", b"1\x05\0\0\0\0"] {
            assert_eq!(unpack(bad), None, "{bad:?}");
        }
    }
}
