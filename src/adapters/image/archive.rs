//! Tar archives: a reader that passes members on byte for byte, and a writer for own members. Each own member has a given
//! time and owner, so that the same content gives the same bytes.

use std::io::{self, ErrorKind, Read, Write};

const BLOCK: usize = 512;
/// Longer than any path in a root file system.
const MAX_EXTENSION_BYTES: u64 = 1024 * 1024;
/// The length of a path that fits into a header without an extension.
const MAX_PLAIN_PATH: usize = 100;

/// The kind of a member, by the letter in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    Other,
}

/// A member of an archive.
#[derive(Debug)]
pub(super) struct Member {
    /// Without `./` at its beginning and without `/` at its end.
    pub(super) path: String,
    pub(super) kind: Kind,
    /// The header with its extensions.
    header: Vec<u8>,
}

/// Reads an archive.
pub(super) struct Reader<R> {
    source: R,
    /// Content and padding of the current member that are not read yet.
    left: u64,
    padding: u64,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            left: 0,
            padding: 0,
        }
    }

    /// Returns the next member, or none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Member>> {
        let rest = self.left + self.padding;
        copy(&mut self.source, &mut io::sink(), rest)?;
        (self.left, self.padding) = (0, 0);
        let mut header = Vec::new();
        let (mut path, mut size) = (None, None);
        loop {
            let mut block = [0; BLOCK];
            self.source.read_exact(&mut block)?;
            if block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            let plain_size = number(&block[124..136])?;
            header.extend_from_slice(&block);
            if !b"xgLK".contains(&block[156]) {
                let kind = kind(block[156]);
                // A hard link can have the size of its target, but it has no content.
                let size = match block[156] {
                    b'1'..=b'6' => 0,
                    _ => size.unwrap_or(plain_size),
                };
                (self.left, self.padding) = (size, padding(size));
                let path = path.unwrap_or_else(|| plain_path(&block));
                return Ok(Some(Member {
                    path: normal(&path),
                    kind,
                    header,
                }));
            }
            if plain_size > MAX_EXTENSION_BYTES {
                return Err(invalid("an extended header is too long"));
            }
            let mut extension = Vec::new();
            copy(&mut self.source, &mut extension, plain_size + padding(plain_size))?;
            header.extend_from_slice(&extension);
            extension.truncate(usize::try_from(plain_size).map_err(io::Error::other)?);
            match block[156] {
                b'L' => path = Some(text(&extension)),
                b'x' => {
                    path = record(&extension, "path").or(path);
                    size = match record(&extension, "size") {
                        Some(text) => Some(text.parse().map_err(|_| invalid("a size is no number"))?),
                        None => size,
                    };
                }
                _ => {}
            }
        }
    }

    /// Passes the current member on, with its content.
    pub(super) fn pass(&mut self, member: &Member, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&member.header)?;
        let rest = self.left + self.padding;
        copy(&mut self.source, to, rest)?;
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// Returns the content of the current member.
    pub(super) fn content(&mut self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        copy(&mut self.source, &mut content, self.left)?;
        self.left = 0;
        Ok(content)
    }
}

impl Member {
    /// Passes the member on with its content, which was read.
    pub(super) fn pass_with(&self, content: &[u8], to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.header)?;
        to.write_all(content)?;
        pad(to, content.len() as u64)
    }
}

/// Writes own members.
pub(super) struct Writer<W> {
    to: W,
    time: u64,
}

/// The mode and the owner of an own member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rights {
    pub(super) mode: u32,
    pub(super) owner: u32,
}

impl<W: Write> Writer<W> {
    /// Returns a writer whose members have this time.
    pub(super) fn new(to: W, time: u64) -> Self {
        Self { to, time }
    }

    pub(super) fn folder(&mut self, path: &str, rights: Rights) -> io::Result<()> {
        self.header(path, b'5', rights, 0, "")
    }

    pub(super) fn link(&mut self, path: &str, target: &str, owner: u32) -> io::Result<()> {
        self.header(path, b'2', Rights { mode: 0o777, owner }, 0, target)
    }

    pub(super) fn file(&mut self, path: &str, rights: Rights, content: &[u8]) -> io::Result<()> {
        self.copied(path, rights, content, content.len() as u64)
    }

    /// Writes a file whose content is read.
    pub(super) fn copied(&mut self, path: &str, rights: Rights, content: impl Read, size: u64) -> io::Result<()> {
        self.header(path, b'0', rights, size, "")?;
        let mut content = content;
        copy(&mut content, &mut self.to, size)?;
        pad(&mut self.to, size)
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn header(&mut self, path: &str, kind: u8, rights: Rights, size: u64, link: &str) -> io::Result<()> {
        let named = [("path", path), ("linkpath", link)];
        let long = named.into_iter().filter(|(_, text)| text.len() > MAX_PLAIN_PATH);
        let records: Vec<u8> = long.flat_map(|(key, text)| pax_record(key, text)).collect();
        if !records.is_empty() {
            let about = Rights { mode: 0o644, owner: 0 };
            let header = block("PaxHeaders/member", b'x', about, records.len() as u64, "", self.time)?;
            self.to.write_all(&header)?;
            self.to.write_all(&records)?;
            pad(&mut self.to, records.len() as u64)?;
        }
        self.to.write_all(&block(path, kind, rights, size, link, self.time)?)
    }
}

fn block(path: &str, kind: u8, rights: Rights, size: u64, link: &str, time: u64) -> io::Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, length: usize, text: &[u8]| {
        let length = text.len().min(length);
        block[at..at + length].copy_from_slice(&text[..length]);
    };
    if size >= 1 << 33 {
        return Err(invalid("a file is larger than 8 GiB"));
    }
    put(0, MAX_PLAIN_PATH, path.as_bytes());
    put(100, 8, format!("{:07o}", rights.mode).as_bytes());
    put(108, 8, format!("{:07o}", rights.owner).as_bytes());
    put(116, 8, format!("{:07o}", rights.owner).as_bytes());
    put(124, 12, format!("{size:011o}").as_bytes());
    put(136, 12, format!("{time:011o}").as_bytes());
    put(148, 8, b"        ");
    put(156, 1, &[kind]);
    put(157, MAX_PLAIN_PATH, link.as_bytes());
    put(257, 8, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// Returns one record of an extended header, which begins with its own length.
fn pax_record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}").into_bytes()
}

fn record(extension: &[u8], wanted: &str) -> Option<String> {
    let mut rest = extension;
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
        let record = rest.get(space + 1..length.checked_sub(1)?)?;
        let record = String::from_utf8_lossy(record);
        if let Some((key, value)) = record.split_once('=')
            && key == wanted
        {
            return Some(value.to_owned());
        }
        rest = rest.get(length..)?;
    }
    None
}

fn kind(letter: u8) -> Kind {
    match letter {
        b'0' | 0 | b'7' => Kind::File,
        b'5' => Kind::Folder,
        b'1' | b'2' => Kind::Link,
        _ => Kind::Other,
    }
}

fn plain_path(block: &[u8; BLOCK]) -> String {
    let name = text(&block[..100]);
    // GNU's own format has other fields in the place of the prefix.
    match &block[257..263] {
        b"ustar\0" if block[345] != 0 => format!("{}/{name}", text(&block[345..500])),
        _ => name,
    }
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn normal(path: &str) -> String {
    path.trim_start_matches("./").trim_end_matches('/').to_owned()
}

fn number(field: &[u8]) -> io::Result<u64> {
    if field[0] & 0x80 != 0 {
        let digits = field[4..].iter();
        return Ok(digits.fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    }
    let digits = text(field);
    match digits.trim() {
        "" => Ok(0),
        digits => u64::from_str_radix(digits, 8).map_err(|_| invalid("a number is not octal")),
    }
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

fn pad(to: &mut impl Write, size: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(padding(size)), to)?;
    Ok(())
}

fn copy(from: &mut impl Read, to: &mut impl Write, size: u64) -> io::Result<()> {
    match io::copy(&mut from.take(size), to)? {
        copied if copied == size => Ok(()),
        _ => Err(io::Error::new(
            ErrorKind::UnexpectedEof,
            "it ends in the middle of a file",
        )),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Rights = Rights {
        mode: 0o755,
        owner: 1001,
    };

    fn archive() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), 1_000_000);
        writer.folder("./home/", ALL).expect("a folder");
        writer.file("home/short", ALL, b"content").expect("a file");
        let long = "deep/".repeat(60);
        writer.file(&format!("{long}file"), ALL, &[7; 512]).expect("a file");
        writer
            .link(&format!("{long}link"), &format!("{long}file"), 0)
            .expect("a link");
        writer.finish().expect("an end")
    }

    #[test]
    fn members_are_read_as_they_were_written_and_passed_on_unchanged() {
        let archive = archive();
        let mut reader = Reader::new(&archive[..]);
        let (mut passed, mut seen) = (Vec::new(), Vec::new());
        while let Some(member) = reader.next().expect("a member") {
            seen.push((member.path.len(), member.kind));
            if member.path.ends_with("short") {
                let content = reader.content().expect("content");
                assert_eq!(content, b"content");
                member.pass_with(&content, &mut passed).expect("passed");
            } else {
                reader.pass(&member, &mut passed).expect("passed");
            }
        }
        let expected = [
            (4, Kind::Folder),
            (10, Kind::File),
            (304, Kind::File),
            (304, Kind::Link),
        ];
        assert_eq!(seen, expected);
        passed.extend([0; 2 * BLOCK]);
        assert_eq!(passed, archive);
    }

    #[test]
    fn other_programs_read_what_is_written() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("archive.tar");
        std::fs::write(&path, archive()).expect("a file");
        let listed = std::process::Command::new("tar").arg("-tvf").arg(&path).output();
        let listed = String::from_utf8(listed.expect("tar").stdout).expect("text");
        let lines: Vec<&str> = listed.lines().collect();
        assert_eq!(lines.len(), 4, "{listed}");
        assert_eq!(listed.matches(" 1970-01-12 ").count(), 4, "{listed}");
        assert!(
            lines[1].starts_with("-rwxr-xr-x 1001/1001") && lines[1].ends_with("home/short"),
            "{listed}"
        );
        assert!(
            lines[3].contains(&format!("{}link -> ", "deep/".repeat(60))),
            "{listed}"
        );
    }

    #[test]
    fn a_torn_archive_is_an_error_and_not_an_end() {
        let archive = archive();
        for length in [100, 600, 1100, 3000] {
            let mut reader = Reader::new(&archive[..length]);
            let torn = loop {
                match reader.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            };
            assert!(torn, "{length}");
        }
    }

    /// The path, the kind and the content of a member.
    type Seen = (String, Kind, Vec<u8>);

    /// Returns the members that a reader finds, and what it passes on.
    fn read(archive: &[u8]) -> io::Result<(Vec<Seen>, Vec<u8>)> {
        let (mut seen, mut passed) = (Vec::new(), Vec::new());
        let mut reader = Reader::new(archive);
        while let Some(member) = reader.next()? {
            let content = reader.content()?;
            member.pass_with(&content, &mut passed)?;
            seen.push((member.path, member.kind, content));
        }
        Ok((seen, passed))
    }

    #[test]
    fn every_format_of_tar_is_read() {
        let place = tempfile::tempdir().expect("a directory");
        let (short, long) = ("f".repeat(90), "deep/".repeat(25));
        let deep = format!("{long}{short}");
        std::fs::create_dir_all(place.path().join(&long)).expect("folders");
        std::fs::write(place.path().join(&deep), "deep content").expect("a file");
        std::fs::hard_link(place.path().join(&deep), place.path().join("zz")).expect("a link");
        std::os::unix::fs::symlink("l".repeat(150), place.path().join("zzz")).expect("a link");
        for format in ["ustar", "gnu", "pax"] {
            let mut tar = std::process::Command::new("tar");
            tar.current_dir(place.path())
                .args(["--create", "--format", format, "."]);
            // Links this long do not fit into the first format.
            tar.args(["--sort=name", "--blocking-factor=1", "--exclude"]);
            tar.arg(if format == "ustar" { "./zz*" } else { "./none" });
            let archive = tar.output().expect("tar").stdout;
            let (seen, mut passed) = read(&archive).expect(format);
            let find = |path: &str| {
                let found = seen.iter().find(|(seen, ..)| seen == path);
                found.unwrap_or_else(|| panic!("{format}: no {path} in {seen:?}"))
            };
            assert_eq!(find(&deep), &(deep.clone(), Kind::File, b"deep content".to_vec()));
            if format != "ustar" {
                assert_eq!(find("zz"), &("zz".to_owned(), Kind::Link, Vec::new()));
            }
            assert_eq!(find(long.trim_end_matches('/')).1, Kind::Folder);
            assert!(
                seen.iter().all(|(_, kind, _)| *kind != Kind::Other),
                "{format}: {seen:?}"
            );
            passed.extend([0; 2 * BLOCK]);
            assert_eq!(passed, archive, "{format}");
        }
    }

    /// Returns a member with a size that its header has in this form, and a second one.
    fn with_size(size: &[u8; 12], before: &[u8]) -> Vec<u8> {
        let mut header = block("file", b'0', ALL, 0, "", 1).expect("a header");
        header[124..136].copy_from_slice(size);
        let mut archive = before.to_vec();
        archive.extend(header);
        archive.extend(b"content");
        archive.extend([0; BLOCK - 7]);
        archive.extend(block("next", b'5', ALL, 0, "", 1).expect("a header"));
        archive.extend([0; 2 * BLOCK]);
        archive
    }

    #[test]
    fn a_size_is_octal_binary_or_in_an_extension() {
        let extension = |letter: u8, text: &str| {
            let mut extension = block("extension", letter, ALL, text.len() as u64, "", 1)
                .expect("a header")
                .to_vec();
            extension.extend(text.as_bytes());
            pad(&mut extension, text.len() as u64).expect("padded");
            extension
        };
        let binary = b"\x80\0\0\0\0\0\0\0\0\0\0\x07";
        let pax = [extension(b'g', "11 path=no\n"), extension(b'x', "10 size=7\n")].concat();
        for (size, before) in [(b"00000000007\0", &[][..]), (binary, &[]), (b"           \0", &pax)] {
            let (seen, _) = read(&with_size(size, before)).expect("an archive");
            let paths: Vec<(&str, &[u8])> = seen
                .iter()
                .map(|(path, _, content)| (path.as_str(), &content[..]))
                .collect();
            assert_eq!(paths, [("file", &b"content"[..]), ("next", b"")]);
        }
        let error = |size: &[u8; 12], before: &[u8]| read(&with_size(size, before)).expect_err("an error").to_string();
        assert_eq!(error(b"0000000zz07\0", &[]), "a number is not octal");
        assert_eq!(
            error(b"00000000007\0", &extension(b'x', "10 size=x\n")),
            "a size is no number"
        );
        let mut long = block("extension", b'x', ALL, 0, "", 1).expect("a header");
        long[124..136].copy_from_slice(b"00010000000\0");
        assert_eq!(error(b"00000000007\0", &long), "an extended header is too long");
        let mut writer = Writer::new(Vec::new(), 1);
        writer
            .copied("file", ALL, &b"short"[..], 100)
            .expect_err("a file became shorter");
        let error = writer.copied("file", ALL, io::empty(), 1 << 33).expect_err("too large");
        assert_eq!(error.to_string(), "a file is larger than 8 GiB");
    }

    #[test]
    fn a_hard_link_has_no_content_whatever_its_size() {
        let mut link = block("link", b'1', ALL, 7, "file", 1).expect("a header").to_vec();
        link.extend(block("next", b'5', ALL, 0, "", 1).expect("a header"));
        link.extend([0; 2 * BLOCK]);
        let (seen, _) = read(&link).expect("an archive");
        assert_eq!(seen.len(), 2, "{seen:?}");
    }

    #[test]
    fn the_prefix_of_a_path_is_none_of_gnus_own_fields() {
        for (magic, path) in [(b"ustar\x0000", "folder/file"), (b"ustar  \0", "file")] {
            let mut archive = block("file", b'5', ALL, 0, "", 1).expect("a header").to_vec();
            archive[257..265].copy_from_slice(magic);
            archive[345..351].copy_from_slice(b"folder");
            archive.extend([0; 2 * BLOCK]);
            let (seen, _) = read(&archive).expect("an archive");
            assert_eq!(seen[0].0, path);
        }
    }
}
