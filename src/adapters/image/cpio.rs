//! The archive of an initial RAM disk (cpio, format "newc"). Times and owners are 0, so that the same content gives the same
//! bytes.

/// The number by which a header begins.
const MAGIC: &str = "070701";
const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
const DEVICE: u32 = 0o020_600;

/// An archive that is being written.
#[derive(Default)]
pub(super) struct Cpio {
    bytes: Vec<u8>,
    members: u32,
}

impl Cpio {
    pub(super) fn folder(&mut self, path: &str) {
        self.member(path, FOLDER, (0, 0), &[]);
    }

    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        self.member(path, FILE, (0, 0), content);
    }

    pub(super) fn program(&mut self, path: &str, content: &[u8]) {
        self.member(path, PROGRAM, (0, 0), content);
    }

    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.member(path, LINK, (0, 0), target.as_bytes());
    }

    /// Adds a character device by its numbers.
    pub(super) fn device(&mut self, path: &str, numbers: (u32, u32)) {
        self.member(path, DEVICE, numbers, &[]);
    }

    /// Ends the archive and returns it.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.members = u32::MAX;
        self.member("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn member(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.members = self.members.wrapping_add(1);
        let links = 1;
        let fields = [self.members, mode, 0, 0, links, 0];
        let (size, name_size) = (content.len(), path.len() + 1);
        let mut header = MAGIC.to_owned();
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        header.push_str(&format!("{size:08x}{:08x}{:08x}", 0, 0));
        header.push_str(&format!("{:08x}{:08x}{name_size:08x}{:08x}", device.0, device.1, 0));
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_member_is_in_its_place() {
        let mut archive = Cpio::default();
        archive.device("dev/console", (5, 1));
        archive.program("init", b"#!/bin/sh\n");
        let bytes = archive.finish();
        let header = |at: usize| String::from_utf8_lossy(&bytes[at..at + 110]).into_owned();
        let fields = |header: &str| -> Vec<u32> {
            let digits = header.as_bytes()[6..].chunks(8);
            let texts = digits.map(|digits| std::str::from_utf8(digits).expect("digits"));
            texts
                .map(|text| u32::from_str_radix(text, 16).expect("a number"))
                .collect()
        };
        assert_eq!(fields(&header(0)), [1, 0o020_600, 0, 0, 1, 0, 0, 0, 0, 5, 1, 12, 0]);
        assert_eq!(&bytes[110..124], b"dev/console\0\0\0");
        assert_eq!(fields(&header(124)), [2, 0o100_755, 0, 0, 1, 0, 10, 0, 0, 0, 0, 5, 0]);
        assert_eq!(&bytes[234..252], b"init\0\0#!/bin/sh\n\0\0");
        assert_eq!(&bytes[252 + 110..], b"TRAILER!!!\0\0\0\0");
        assert_eq!(bytes.len() % 4, 0);
    }
}
