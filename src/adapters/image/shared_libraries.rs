//! The shared libraries that a program needs by its own list (ELF, 64 bits, little endian).

const MAGIC: &[u8] = b"\x7fELF\x02\x01";
const DYNAMIC: u64 = 2;
const NEEDED: u64 = 1;
const STRINGS: u64 = 5;
const STRINGS_SIZE: u64 = 10;

/// The table of the names that a program uses of other files.
struct Table<'a> {
    strings: &'a [u8],
    entries: Vec<(u64, u64)>,
}

/// Returns the names of the libraries; nothing for a file that is no such program.
pub(super) fn needed_by(program: &[u8]) -> Vec<String> {
    let Some(table) = table(program) else { return Vec::new() };
    let needed = table.entries.iter().filter(|(tag, _)| *tag == NEEDED);
    needed.filter_map(|(_, at)| text(table.strings, *at)).collect()
}

/// Returns the names of symbols and of their versions; nothing for a file that is no such program.
pub(super) fn symbols_of(program: &[u8]) -> &[u8] {
    table(program).map(|table| table.strings).unwrap_or_default()
}

fn table(program: &[u8]) -> Option<Table<'_>> {
    program.strip_prefix(MAGIC)?;
    let table = number(program, 0x20, 8)?;
    let (size, count) = (number(program, 0x36, 2)?, number(program, 0x38, 2)?);
    let segment = |index: u64| {
        let at = table.checked_add(index * size)?;
        let field = |offset: u64, length| number(program, at.checked_add(offset)?, length);
        Some([field(0, 4)?, field(8, 8)?, field(16, 8)?, field(32, 8)?])
    };
    let segments: Vec<[u64; 4]> = (0..count).filter_map(segment).collect();
    let [_, dynamic, _, length] = segments.iter().find(|segment| segment[0] == DYNAMIC)?;
    let entries = (0..length / 16).map_while(|index| {
        let at = dynamic.checked_add(index * 16)?;
        let tag = number(program, at, 8)?;
        (tag != 0).then_some((tag, number(program, at + 8, 8)?))
    });
    let entries: Vec<(u64, u64)> = entries.collect();
    let value = |wanted| Some(entries.iter().find(|(tag, _)| *tag == wanted)?.1);
    let (address, size) = (value(STRINGS)?, value(STRINGS_SIZE)?);
    let holds = |segment: &&[u64; 4]| {
        let [_, _, start, length] = **segment;
        address >= start && address - start < length
    };
    let [_, offset, start, _] = segments.iter().find(holds)?;
    let begin = usize::try_from((address - start).checked_add(*offset)?).ok()?;
    let end = begin.checked_add(usize::try_from(size).ok()?)?;
    Some(Table {
        strings: program.get(begin..end)?,
        entries,
    })
}

fn number(bytes: &[u8], at: u64, length: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let digits = bytes.get(at..at.checked_add(length)?)?;
    Some(digits.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn text(bytes: &[u8], at: u64) -> Option<String> {
    let rest = bytes.get(usize::try_from(at).ok()?..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    String::from_utf8(rest[..end].to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_needs_the_c_library() {
        let own = std::fs::read("/proc/self/exe").expect("this program");
        let needed = needed_by(&own);
        assert!(needed.iter().any(|name| name == "libc.so.6"), "{needed:?}");
        assert!(needed.iter().all(|name| name.contains(".so")), "{needed:?}");
        assert!(crate::domain::image::needed_by(symbols_of(&own)).is_some());
    }

    #[test]
    fn damaged_programs_need_nothing() {
        let own = std::fs::read("/proc/self/exe").expect("this program");
        for length in [0, 6, 0x20, 0x40, 0x200] {
            assert_eq!(needed_by(&own[..length]), Vec::<String>::new(), "{length}");
        }
        let mut damaged = own[..0x1000].to_vec();
        damaged[0x20..0x400].fill(0xff);
        assert_eq!(needed_by(&damaged), Vec::<String>::new());
        assert_eq!(needed_by(b"#!/bin/sh\n"), Vec::<String>::new());
    }
}
