//! The addresses of this machine, as the kernel lists them. No list of private networks contains the public ones, and jobs
//! must not reach them either.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    /// An IPv6 address that reaches the internet.
    Global6,
    /// An IPv6 address of this link, this site or this machine.
    Local6,
}

/// Returns every address of this machine's interfaces.
pub(super) fn of_this_machine() -> io::Result<Vec<IpAddr>> {
    let mut found = in_routes(&fs::read_to_string("/proc/self/net/fib_trie")?);
    match fs::read_to_string("/proc/self/net/if_inet6") {
        Ok(text) => found.extend(in_interfaces(&text)),
        // The kernel has no IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    found.sort();
    found.dedup();
    Ok(found)
}

pub(super) fn family(address: &IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::V4,
        // Public addresses are assigned from 2000::/3 only.
        IpAddr::V6(address) if address.segments()[0] & 0xe000 == 0x2000 => Family::Global6,
        IpAddr::V6(_) => Family::Local6,
    }
}

/// Parses the routing table: a line with an address, and below it a line that marks an address of this machine.
fn in_routes(text: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line.starts_with("/32 host LOCAL") {
            found.extend(last.map(IpAddr::V4));
        }
    }
    found
}

/// Parses the list of interfaces, whose lines start with 32 hexadecimal digits.
fn in_interfaces(text: &str) -> Vec<IpAddr> {
    let addresses = text
        .lines()
        .filter_map(|line| u128::from_str_radix(line.split(' ').next()?, 16).ok());
    addresses.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_the_kernel_are_parsed() {
        let routes = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 203.0.113.5\n        /32 host LOCAL\n\
                      \x20    |-- 203.0.113.255\n        /32 link BROADCAST\n";
        assert_eq!(
            in_routes(routes),
            ["203.0.113.5".parse::<IpAddr>().expect("an address")]
        );
        let interfaces = "20010db8000000000000000000000007 02 40 00 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n";
        let found = in_interfaces(interfaces);
        assert_eq!(found[0].to_string(), "2001:db8::7");
        assert_eq!(family(&found[0]), Family::Global6);
        assert_eq!(family(&found[1]), Family::Local6);
    }

    #[test]
    fn this_machine_has_its_loopback_address() {
        let found = of_this_machine().expect("addresses");
        assert!(found.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)), "{found:?}");
    }
}
