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

impl Transport {
    /// The header by which a client asks for it.
    pub(super) fn wish(&self) -> String {
        match self {
            Self::Interleaved { rtp, rtcp } => {
                format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}")
            }
            Self::Udp(ports) => {
                format!("RTP/AVP;unicast;client_port={}-{}", ports.rtp, ports.rtcp)
            }
        }
    }

    /// What a server made of that: the transport, and its own ports where it tells them. `None`
    /// where it chose what was not asked for.
    pub(super) fn chosen(&self, header: Option<&str>) -> Option<(Self, Option<Ports>)> {
        // Who says nothing has agreed.
        let Some(header) = header else {
            return Some((*self, None));
        };
        let mut parameters = header.split(';').map(str::trim);
        let tcp = parameters.next()?.eq_ignore_ascii_case("RTP/AVP/TCP");
        let value = |name: &str| {
            let mut named = header.split(';').map(str::trim);
            named.find_map(|parameter| {
                let (found, value) = parameter.split_once('=')?;
                found.eq_ignore_ascii_case(name).then_some(value)
            })
        };
        match self {
            Self::Interleaved { .. } if tcp => {
                let Some(channels) = value("interleaved") else {
                    return Some((*self, None));
                };
                let (rtp, rtcp) = numbers(channels)?;
                let channels = (u8::try_from(rtp).ok()?, u8::try_from(rtcp).ok()?);
                let (rtp, rtcp) = Some(channels).filter(|(rtp, rtcp)| rtp != rtcp)?;
                Some((Self::Interleaved { rtp, rtcp }, None))
            }
            Self::Udp(_) if !tcp => {
                let ports = value("server_port").and_then(numbers);
                let ports = ports.map(|(rtp, rtcp)| Ports { rtp, rtcp });
                Some((
                    *self,
                    ports.filter(|ports| ports.rtp != 0 && ports.rtcp != 0),
                ))
            }
            Self::Interleaved { .. } | Self::Udp(_) => None,
        }
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
