//! Which addresses are public: those that do not lead into a network of one's own.
//!
//! The ranges are those of the IANA special-purpose registries (RFC 6890) that are not globally
//! reachable.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that a URL's host is, where it is one; IPv6 stands in brackets.
pub fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// Whether everybody on the internet would reach the same host by this address.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let inside = ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        // Shared between a provider and its customers (RFC 6598).
        || (a == 100 && b & 0xc0 == 64)
        // Protocol assignments, and 6to4's anycast relay.
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        // Benchmarks (RFC 2544).
        || (a == 198 && b & 0xfe == 18);
    !inside
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let groups = ip.segments();
    let [a, b, ..] = groups;
    let low = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    // An IPv4 address behind a translator (RFC 6052) is as public as it is itself.
    if groups[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return is_public_v4(low(groups[6], groups[7]));
    }
    // Only 2000::/3 is handed out for global use; that leaves out ::1, mapped IPv4 addresses,
    // fc00::/7, fe80::/10 and multicast.
    let global = a & 0xe000 == 0x2000;
    let tunnel = a == 0x2002 && !is_public_v4(low(b, groups[2]));
    // Protocol assignments with Teredo (2001::/23), documentation.
    let special = (a == 0x2001 && (b < 0x200 || b == 0xdb8)) || (a == 0x3fff && b < 0x1000);
    global && !tunnel && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn public(text: &str) -> bool {
        is_public(text.parse().expect("an address"))
    }

    #[test]
    fn inside_and_special_addresses_are_not_public() {
        let inside = [
            "0.0.0.0",
            "0.1.2.3",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for address in inside {
            assert!(!public(address), "{address}");
        }
    }

    #[test]
    fn addresses_of_the_internet_are_public() {
        let outside = [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.1",
            "223.255.255.255",
            "64:ff9b::8.8.8.8",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2002:808:808::1",
            "3ffe::1",
        ];
        for address in outside {
            assert!(public(address), "{address}");
        }
    }
}
