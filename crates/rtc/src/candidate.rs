//! Our ICE candidates, and the order in which a client gets them.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// What carries datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP, framed as RFC 4571 says; we are the passive side as a server (RFC 6544).
    Tcp,
}

/// An address at which we take media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// UDP or TCP.
    pub transport: Transport,
    /// The address, as clients reach it.
    pub addr: SocketAddr,
}

impl Candidate {
    /// The candidate as an SDP attribute without `a=` (RFC 8839, 5.1; RFC 6544, 4.5).
    ///
    /// `rank` 0 is the most preferred one. All candidates are host candidates: a public address
    /// that a NAT maps one to one is advertised as the host's own.
    pub(crate) fn to_sdp(self, rank: usize) -> String {
        // Type preference of a host candidate is 126; TCP stands below UDP (RFC 6544, 4.2).
        let local = 65_535_u32.saturating_sub(u32::try_from(rank).unwrap_or(u32::MAX));
        let type_preference = match self.transport {
            Transport::Udp => 126,
            Transport::Tcp => 90,
        };
        let priority = (type_preference << 24) | (local << 8) | 255;
        let mut line = String::with_capacity(96);
        let foundation = rank + 1;
        let (ip, port) = (self.addr.ip(), self.addr.port());
        let _ = match self.transport {
            Transport::Udp => write!(
                line,
                "candidate:{foundation} 1 udp {priority} {ip} {port} typ host"
            ),
            Transport::Tcp => {
                write!(
                    line,
                    "candidate:{foundation} 1 tcp {priority} {ip} {port} typ host tcptype passive"
                )
            }
        };
        line
    }
}

/// Puts candidates in the order in which a client at `client` can reach them.
///
/// Some clients try the first UDP candidate only, so the one that is most surely reachable leads:
/// a loopback address for a client on this machine and never for another, then addresses of the
/// kind (private or public) that the client's own is, with UDP before TCP. `hint` is the address
/// of ours that the client already reached for signalling.
pub fn order_for(
    candidates: &[Candidate],
    client: Option<IpAddr>,
    hint: Option<IpAddr>,
) -> Vec<Candidate> {
    let client = client.map(|ip| ip.to_canonical());
    let hint = hint.map(|ip| ip.to_canonical());
    let local_client = client.is_none_or(|ip| ip.is_loopback());
    let mut ordered: Vec<Candidate> = candidates
        .iter()
        .copied()
        .filter(|c| local_client || !c.addr.ip().is_loopback())
        .collect();
    ordered.sort_by_key(|c| {
        let ip = c.addr.ip();
        let distance = if Some(ip) == hint {
            0
        } else if ip.is_loopback() {
            1
        } else if client.is_some_and(|client| is_private(client) == is_private(ip)) {
            2
        } else {
            3
        };
        let family = client.is_some_and(|client| client.is_ipv4() != ip.is_ipv4());
        (c.transport, family, distance)
    });
    ordered
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp(addr: &str) -> Candidate {
        Candidate {
            transport: Transport::Udp,
            addr: addr.parse().expect("an address"),
        }
    }

    fn tcp(addr: &str) -> Candidate {
        Candidate {
            transport: Transport::Tcp,
            addr: addr.parse().expect("an address"),
        }
    }

    #[test]
    fn a_client_on_this_machine_gets_loopback_first() {
        let all = [
            udp("203.0.113.5:7000"),
            tcp("127.0.0.1:7000"),
            udp("127.0.0.1:7000"),
        ];
        let ordered = order_for(&all, Some("127.0.0.1".parse().expect("ip")), None);
        assert_eq!(ordered, [all[2], all[0], all[1]]);
    }

    #[test]
    fn a_remote_client_never_gets_loopback() {
        let all = [
            udp("127.0.0.1:7000"),
            udp("192.168.1.4:7000"),
            udp("203.0.113.5:7000"),
        ];
        let ordered = order_for(&all, Some("198.51.100.7".parse().expect("ip")), None);
        assert_eq!(ordered, [all[2], all[1]]);
    }

    #[test]
    fn the_address_that_signalling_reached_leads() {
        let all = [udp("192.168.1.4:7000"), udp("10.0.0.4:7000")];
        let ordered = order_for(
            &all,
            Some("10.0.0.9".parse().expect("ip")),
            Some("10.0.0.4".parse().expect("ip")),
        );
        assert_eq!(ordered[0], all[1]);
    }

    #[test]
    fn a_candidate_line_follows_the_grammar() {
        assert_eq!(
            tcp("[2001:db8::1]:7000").to_sdp(0),
            "candidate:1 1 tcp 1526726655 2001:db8::1 7000 typ host tcptype passive"
        );
    }
}
