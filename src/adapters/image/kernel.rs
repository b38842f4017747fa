//! The uncompressed kernel inside a bzImage. It boots faster: QEMU maps it and no guest has to unpack it.

use lz4_flex::block::decompress_into;

/// The boot header of Linux/x86, by its documentation.
const MAGIC: (usize, &[u8]) = (0x202, b"HdrS");
const SETUP_SECTORS: usize = 0x1f1;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// The beginning of the old LZ4 format, which Linux uses.
const LZ4: &[u8] = &[0x02, 0x21, 0x4c, 0x18];
/// The size of a block of that format, before compression.
const BLOCK_BYTES: usize = 8 << 20;
const ELF: &[u8] = b"\x7fELF";
/// Much larger than any kernel.
const MAX_KERNEL_BYTES: usize = 512 << 20;

/// Returns the uncompressed kernel, or none if it is packed in another way than by LZ4.
pub(super) fn unpacked(image: &[u8]) -> Option<Vec<u8>> {
    image.get(MAGIC.0..)?.strip_prefix(MAGIC.1)?;
    let sectors = match *image.get(SETUP_SECTORS)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * 512 + number(image, PAYLOAD_OFFSET)?;
    let payload = image.get(start..start.checked_add(number(image, PAYLOAD_LENGTH)?)?)?;
    let mut rest = payload.strip_prefix(LZ4)?;
    let mut kernel = Vec::new();
    // The size of the kernel follows the last block.
    while rest.len() > 4 {
        let length = number(rest, 0)?;
        let block = rest.get(4..length.checked_add(4)?)?;
        let done = kernel.len();
        if done > MAX_KERNEL_BYTES {
            return None;
        }
        kernel.resize(done + BLOCK_BYTES, 0);
        let written = decompress_into(block, &mut kernel[done..]).ok()?;
        kernel.truncate(done + written);
        rest = &rest[4 + length..];
    }
    let is_whole = number(rest, 0)? == kernel.len() && kernel.starts_with(ELF);
    is_whole.then_some(kernel)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lz4_flex::block::compress;

    fn image(kernel: &[u8]) -> Vec<u8> {
        let mut payload = LZ4.to_vec();
        for block in kernel.chunks(BLOCK_BYTES) {
            let packed = compress(block);
            payload.extend(u32::try_from(packed.len()).expect("short").to_le_bytes());
            payload.extend(packed);
        }
        payload.extend(u32::try_from(kernel.len()).expect("short").to_le_bytes());
        let mut image = vec![0; 3 * 512];
        image[SETUP_SECTORS] = 1;
        image[MAGIC.0..MAGIC.0 + 4].copy_from_slice(MAGIC.1);
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&512_u32.to_le_bytes());
        let length = u32::try_from(payload.len()).expect("short");
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        image.extend(payload);
        image.extend([9; 100]);
        image
    }

    #[test]
    fn a_kernel_of_several_blocks_is_unpacked() {
        let mut kernel: Vec<u8> = ELF.to_vec();
        kernel.extend((0..BLOCK_BYTES + 77).map(|at| u8::try_from(at % 251).expect("small")));
        assert_eq!(unpacked(&image(&kernel)), Some(kernel));
    }

    #[test]
    fn anything_else_is_left_as_it_is() {
        let whole = image(b"\x7fELF and so on");
        assert!(unpacked(&whole).is_some());
        for length in [0, 0x202, 0x300, 3 * 512, whole.len() - 120] {
            assert_eq!(unpacked(&whole[..length]), None, "{length}");
        }
        let mut without_mark = whole.clone();
        without_mark[MAGIC.0] = b'h';
        assert_eq!(unpacked(&without_mark), None);
        let mut other_length = whole.clone();
        other_length[whole.len() - 104] ^= 1;
        assert_eq!(
            unpacked(&other_length),
            None,
            "the length behind the last block differs"
        );
        let mut packed_otherwise = whole.clone();
        packed_otherwise[3 * 512] = 0x28;
        assert_eq!(unpacked(&packed_otherwise), None);
        assert_eq!(unpacked(&image(b"not a program")), None);
    }

    #[test]
    fn an_old_header_without_a_number_of_sectors_has_four() {
        let now = image(b"\x7fELF and so on");
        let (header, rest) = now.split_at(3 * 512);
        let mut old = [header, &[0; 3 * 512], rest].concat();
        old[SETUP_SECTORS] = 0;
        assert!(unpacked(&old).is_some());
    }
}
