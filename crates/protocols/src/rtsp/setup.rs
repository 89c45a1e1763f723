//! SETUP: which track, and how its packets go.

use super::server::{Phase, Server};
use super::transport::{Offer, offers};
use super::{Request, Status, Transport};

impl Server {
    /// Chooses a track's transport; gives the header that tells it.
    pub(super) fn setup(&mut self, request: &Request) -> Result<String, (Status, &'static str)> {
        let record = match self.phase {
            Phase::Announced => true,
            Phase::Described => false,
            Phase::Idle | Phase::Recording | Phase::Playing | Phase::Paused | Phase::Over => {
                let detail = "ANNOUNCE or DESCRIBE comes before SETUP";
                return Err((Status::NotInThisState, detail));
            }
        };
        let index = self.track(&request.uri)?;
        let offers = offers(request.field("Transport").unwrap_or_default());
        let unusable = (
            Status::UnsupportedTransport,
            "RTP/AVP/TCP interleaved is taken, and RTP/AVP unicast over UDP where the server has it",
        );
        let (transport, text) = offers
            .into_iter()
            .find_map(|offer| self.transport(offer, index))
            .ok_or(unusable)?;
        if let Some(track) = self.tracks.get_mut(index) {
            track.transport = Some(transport);
        }
        let mode = if record { ";mode=record" } else { "" };
        Ok(format!("{text}{mode}"))
    }

    fn transport(&self, offer: Offer, index: usize) -> Option<(Transport, String)> {
        match offer {
            Offer::Udp(client) => {
                let server = self.settings.udp?;
                let others = self.tracks.iter().enumerate();
                let taken = others
                    .filter(|(other, _)| *other != index)
                    .any(|(_, track)| {
                        matches!(track.transport, Some(Transport::Udp(ports))
                        if [ports.rtp, ports.rtcp].contains(&client.rtp)
                            || [ports.rtp, ports.rtcp].contains(&client.rtcp))
                    });
                let text = format!(
                    "RTP/AVP;unicast;client_port={}-{};server_port={}-{}",
                    client.rtp, client.rtcp, server.rtp, server.rtcp
                );
                (!taken).then_some((Transport::Udp(client), text))
            }
            Offer::Interleaved(channels) => {
                let free = |channel: u8| {
                    let mut others = self.tracks.iter().enumerate();
                    !others.any(|(other, track)| {
                        other != index
                            && matches!(track.transport,
                                Some(Transport::Interleaved { rtp, rtcp })
                                    if channel == rtp || channel == rtcp)
                    })
                };
                let first = u8::try_from(index * 2).ok()?;
                let (rtp, rtcp) = channels
                    .filter(|(rtp, rtcp)| free(*rtp) && free(*rtcp))
                    .or_else(|| {
                        let even = (0..=254_u8).step_by(2).map(|even| (even, even + 1));
                        let wanted = std::iter::once((first, first + 1)).chain(even);
                        wanted
                            .into_iter()
                            .find(|(rtp, rtcp)| free(*rtp) && free(*rtcp))
                    })?;
                let text = format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}");
                Some((Transport::Interleaved { rtp, rtcp }, text))
            }
        }
    }

    /// The track that a URI names.
    fn track(&self, uri: &str) -> Result<usize, (Status, &'static str)> {
        let whole = uri.trim_end_matches('/');
        let bare = whole.split_once('?').map_or(whole, |(bare, _)| bare);
        let bare = bare.trim_end_matches('/');
        let named = self.tracks.iter().position(|track| {
            let control = track.control.trim_matches('/');
            !control.is_empty()
                && [whole, bare].iter().any(|uri| {
                    let above = uri.strip_suffix(control);
                    above.is_some_and(|above| above.is_empty() || above.ends_with('/'))
                })
        });
        match (named, self.tracks.len()) {
            (Some(index), _) => Ok(index),
            (None, 1) => Ok(0),
            (None, _) if bare == self.base => Err((
                Status::NoAggregate,
                "SETUP names one track, by the URI that stands in the description",
            )),
            (None, _) => Err((
                Status::NotFound,
                "the URI names no track of the description",
            )),
        }
    }
}
