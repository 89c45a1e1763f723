//! The header `Transport` (RFC 2326, 12.39).

/// Two ports, of RTP and of RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Of media.
    pub rtp: u16,
    /// Of reports.
    pub rtcp: u16,
}

/// How the packets of one track go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Between the requests, on these channels.
    Interleaved {
        /// Of media.
        rtp: u8,
        /// Of reports.
        rtcp: u8,
    },
    /// Over UDP, to and from these ports of the client.
    Udp(Ports),
}

/// One of the transports that a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// Over UDP, with the client's ports.
    Udp(Ports),
    /// Between the requests, with the channels that the client wants, if any.
    Interleaved(Option<(u8, u8)>),
}

/// The transports of a header that can be taken, the client's favourite first.
pub(super) fn offers(header: &str) -> Vec<Offer> {
    header.split(',').take(8).filter_map(offer).collect()
}

fn offer(text: &str) -> Option<Offer> {
    let mut parameters = text.split(';').map(str::trim);
    let profile = parameters.next()?.to_ascii_uppercase();
    let mut pair = None;
    for parameter in parameters {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name.to_ascii_lowercase().as_str() {
            "multicast" => return None,
            "interleaved" | "client_port" => pair = numbers(value),
            _ => {}
        }
    }
    match profile.as_str() {
        "RTP/AVP/TCP" => {
            let channels = pair
                .and_then(|(rtp, rtcp)| Some((u8::try_from(rtp).ok()?, u8::try_from(rtcp).ok()?)));
            Some(Offer::Interleaved(
                channels.filter(|(rtp, rtcp)| rtp != rtcp),
            ))
        }
        "RTP/AVP" | "RTP/AVP/UDP" => {
            let (rtp, rtcp) = pair?;
            (rtp != 0 && rtcp != 0 && rtp != rtcp).then_some(Offer::Udp(Ports { rtp, rtcp }))
        }
        _ => None,
    }
}

/// `a-b`, or `a`, which stands for itself and the next.
fn numbers(text: &str) -> Option<(u16, u16)> {
    match text.split_once('-') {
        Some((first, second)) => Some((first.parse().ok()?, second.parse().ok()?)),
        None => {
            let first: u16 = text.parse().ok()?;
            Some((first, first.checked_add(1)?))
        }
    }
}
