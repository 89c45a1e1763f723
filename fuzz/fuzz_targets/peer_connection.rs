//! A peer connection under attack: datagrams of strangers, damaged ones of its client, and a
//! client that sends what it likes.
//!
//! The first byte says whether the two are connected before.
#![cfg_attr(fuzzing, no_main)]

use std::net::SocketAddr;
use std::time::Duration;

use inver_fuzz::{Input, Link};
use inver_media::{Codec, Extensions, Format};
use inver_rtc::{Layer, TrackId, Transport, Write};

inver_fuzz::target!(run);

/// Steps that are taken at most, to bound the time of one input.
const STEPS: usize = 256;

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut link = if input.byte() & 1 == 0 {
        Link::new()
    } else {
        Link::connected()
    };
    let stranger = SocketAddr::from(([203, 0, 113, 9], 4000));
    let mut sequence = 0;
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        match input.byte() % 8 {
            0 => link.inject(Transport::Udp, stranger, input.block()),
            1 => link.inject(Transport::Tcp, stranger, input.block()),
            2 => request(&mut link, stranger, &mut input),
            3 => link.damage = Some((usize::from(input.short()), input.byte())),
            4 => link.pass(Duration::from_millis(u64::from(input.short()))),
            5 => {
                sequence += u64::from(input.byte());
                write(&mut link, sequence, &mut input);
            }
            6 => link
                .server
                .request_keyframe(TrackId(input.byte()), Some(Layer(input.byte()))),
            _ => link
                .client
                .set_wanted_bitrate(u64::from(input.short()), u64::from(input.short())),
        }
    }
    link.pass(Duration::from_millis(10));
    link.server.close();
    link.pass(Duration::from_millis(10));
}

/// A STUN binding request for the server's user name, with attributes of the attacker's choice.
fn request(link: &mut Link, stranger: SocketAddr, input: &mut Input<'_>) {
    let user = format!("{}:them", link.server.ufrag());
    let mut attributes = vec![0, 6];
    attributes.extend_from_slice(&(user.len() as u16).to_be_bytes());
    attributes.extend_from_slice(user.as_bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    attributes.extend_from_slice(input.block());
    let mut datagram = vec![0, 1];
    datagram.extend_from_slice(&(attributes.len() as u16).to_be_bytes());
    datagram.extend_from_slice(&[
        0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
    ]);
    datagram.extend_from_slice(&attributes);
    link.inject(Transport::Udp, stranger, &datagram);
}

/// An RTP packet of the client, properly encrypted.
fn write(link: &mut Link, sequence: u64, input: &mut Input<'_>) {
    let choice = input.byte();
    let track = TrackId(choice & 1);
    let format = Format::new(Codec::ALL[usize::from(choice >> 1) % Codec::ALL.len()]);
    let payload_type = link.client.payload_type(track, &format);
    let timestamp = u32::from(input.short()) << (choice >> 4);
    let payload = input.block();
    link.client.write(
        track,
        Write {
            payload_type: payload_type.unwrap_or(choice & 0x7f),
            sequence,
            timestamp,
            wallclock: link.now,
            marker: choice & 8 != 0,
            nackable: true,
            payload: payload[..payload.len().min(1200)].into(),
            padding: 0,
            extensions: Extensions {
                audio_level: Some(-((choice & 0x7f) as i8)),
                voice_activity: Some(choice & 1 == 0),
                rotation: Some(choice & 3),
                capture_time: None,
            },
        },
    );
    link.pass(Duration::from_millis(1));
}
