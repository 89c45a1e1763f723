//! Offers of publishers and viewers: read, checked and answered.
#![cfg_attr(fuzzing, no_main)]

use std::time::Instant;

use inver_media::Codec;
use inver_rtc::{Offer, PeerConnection, TrackId};

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for lite in [true, false] {
        let Ok(offer) = Offer::parse(&text, lite) else {
            continue;
        };
        let _ = offer.check_publish();
        let _ = offer.check_subscribe();
        let settings = inver_fuzz::settings(lite);
        let Ok((mut connection, answer)) = PeerConnection::answer(&settings, offer, Instant::now())
        else {
            continue;
        };
        assert!(answer.starts_with("v=0\r\n"), "an answer is SDP: {answer}");
        let tracks: Vec<TrackId> = connection.tracks().map(|(track, ..)| track).collect();
        for track in tracks {
            for (payload_type, format) in connection.formats(track) {
                assert!(payload_type < 128, "payload types have 7 bits");
                assert!(
                    connection.payload_type(track, &format).is_some(),
                    "what the client takes can be sent to it"
                );
            }
            connection.request_keyframe(track, None);
        }
        for codec in Codec::ALL {
            let _ = connection.payload_type(TrackId(0), &inver_media::Format::new(codec));
        }
        let _ = connection.handle_timeout(Instant::now());
        while let Ok(output) = connection.poll_output(Instant::now()) {
            if matches!(output, inver_rtc::Output::Timeout(_)) {
                break;
            }
        }
    }
}
