//! Peers that send what no honest peer would.

use std::time::{Duration, Instant};

use super::network::{End, MILLI, Network, Setup, delivered, dropped};
use crate::srt::connection::Connection;
use crate::srt::wire::{Ack, AckDetails, Body, Data, KeyFlag, Packet, loss_list, loss_words};

/// A packet of the client's for the server, or the other way round.
fn send_raw(network: &mut Network, to: End, timestamp: u32, body: Body<'_>) {
    let destination = match to {
        End::Client => network.client().socket(),
        End::Server => network.server().socket(),
    };
    let packet = Packet {
        timestamp,
        destination,
        body,
    };
    network.arrive(to, &packet.write());
    network.drain();
}

fn data(sequence: u32) -> Body<'static> {
    Body::Data(Data {
        sequence,
        message: 1,
        key: KeyFlag::Clear,
        retransmitted: false,
        payload: &[0, 0, 0, 9],
    })
}

#[test]
fn reports_of_absurd_losses_repeat_nothing_that_was_not_sent() {
    let mut network = Network::connected(Setup::default());
    network.publish(End::Client, 100, MILLI);
    // Everything is acknowledged, then 20 are on their way.
    network.run_for(200 * MILLI);
    network.publish(End::Client, 20, Duration::ZERO);
    network.run_for(25 * MILLI);
    let before = network.datagrams;
    for (from, to) in [
        (0, 0x7fff_ffff),
        (0x7fff_ffff, 0),
        (5000, 4000),
        (1 << 30, 3 << 29),
    ] {
        let (words, _) = loss_words(&[(from, to)]);
        send_raw(&mut network, End::Client, 1, Body::Nak(loss_list(&words)));
    }
    let all = loss_words(&[(1000, 0x4000_0000)]).0;
    for _ in 0..1000 {
        send_raw(&mut network, End::Client, 1, Body::Nak(loss_list(&all)));
    }
    network.run_for(100 * MILLI);
    let now = network.now;
    let statistics = network.client().statistics(now);
    assert!(statistics.packets_retransmitted <= 60, "{statistics:?}");
    // An answer to each report about what is gone, and the usual rest.
    assert!(
        network.datagrams - before < 1_200,
        "{}",
        network.datagrams - before
    );
    network.run_for(Duration::from_secs(1));
    assert_eq!(delivered(&network.server_events).len(), 120);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_ignored() {
    let mut network = Network::connected(Setup::default());
    network.publish(End::Client, 10, Duration::ZERO);
    network.run_for(10 * MILLI);
    let now = network.now;
    let queued = network.client().statistics(now).send_queue;
    for sequence in [1011, 5000, 0x4000_0000, 999, 0] {
        let ack = Ack {
            number: 1,
            sequence,
            details: Some(AckDetails {
                rtt: u32::MAX,
                variance: u32::MAX,
                available: 0,
                packet_rate: 0,
                byte_rate: 0,
            }),
        };
        send_raw(&mut network, End::Client, 1, Body::Ack(ack));
    }
    assert_eq!(network.client().statistics(now).send_queue, queued);
    network.publish(End::Client, 100, MILLI);
    network.run_for(Duration::from_secs(2));
    assert_eq!(delivered(&network.server_events).len(), 110);
}

#[test]
fn timestamps_of_another_world_hold_nothing_back_for_long() {
    let mut network = Network::connected(Setup::default());
    for (sequence, timestamp) in [(1000, 0x7000_0000), (1001, 0xf000_0000), (1002, 3)] {
        send_raw(&mut network, End::Server, timestamp, data(sequence));
    }
    network.run_for(Duration::from_millis(1200));
    assert_eq!(delivered(&network.server_events).len(), 3);
}

#[test]
fn a_jump_in_numbers_costs_no_memory_and_is_told() {
    let mut network = Network::connected(Setup::default());
    // Their timestamps are of now, so that all are held for a while.
    send_raw(&mut network, End::Server, 3_000_000, data(1000));
    // Too far ahead while something is held, and a gap as large as the buffer.
    send_raw(&mut network, End::Server, 3_000_000, data(0x3000_0000));
    send_raw(&mut network, End::Server, 3_000_000, data(1000 + 8191));
    network.run_for(Duration::from_secs(2));
    assert_eq!(delivered(&network.server_events).len(), 2);
    assert_eq!(dropped(&network.server_events), 8190);
    send_raw(&mut network, End::Server, 5_000_000, data(0x3000_0000));
    network.run_for(Duration::from_secs(2));
    assert_eq!(delivered(&network.server_events).len(), 3);
    let skipped = u64::from(0x3000_0000u32 - 9192);
    assert_eq!(dropped(&network.server_events), 8190 + skipped);
}

#[test]
fn giving_up_on_absurd_ranges_is_bounded() {
    let mut network = Network::connected(Setup::default());
    for (first, last) in [
        (0, 0x7fff_ffff),
        (1000, 999),
        (1000, 0x3fff_ffff),
        (5000, 6000),
    ] {
        let message = 0;
        let body = Body::DropRequest {
            message,
            first,
            last,
        };
        send_raw(&mut network, End::Server, 1, body);
    }
    assert!(dropped(&network.server_events) <= 3 * 8192);
    network.publish(End::Client, 50, MILLI);
    network.run_for(Duration::from_secs(5));
    let now = network.now;
    assert!(!network.server().is_closed());
    assert!(network.server().statistics(now).packets_received <= 50);
}

#[test]
fn key_material_on_a_plain_connection_and_nonsense_are_answered_or_passed_over() {
    let mut network = Network::connected(Setup::default());
    let before = network.datagrams;
    send_raw(&mut network, End::Server, 1, Body::KeyRequest(&[0x12; 60]));
    send_raw(&mut network, End::Server, 1, Body::KeyRequest(&[0x12; 600]));
    send_raw(&mut network, End::Server, 1, Body::KeyResponse(&[0x12; 60]));
    send_raw(&mut network, End::Server, 1, Body::AckAck { number: 77 });
    send_raw(&mut network, End::Server, 1, Body::Other);
    assert_eq!(
        network.datagrams - before,
        1,
        "that there is no passphrase here"
    );
}

#[test]
fn packets_for_others_are_passed_over() {
    let mut network = Network::connected(Setup::default());
    let packet = Packet {
        timestamp: 0,
        destination: 1,
        body: Body::Shutdown,
    };
    network.arrive(End::Server, &packet.write());
    network.arrive(End::Server, &[0; 15]);
    network.drain();
    let now = network.now;
    assert!(!network.server().is_closed());
    assert_eq!(network.server().statistics(now).packets_refused, 2);
}

/// Without anybody who drains, what waits is bounded.
#[test]
fn an_owner_that_does_not_drain_costs_bounded_memory() {
    let mut network = Network::connected(Setup::default());
    let mut server: Connection = network.server.take().expect("it is connected");
    let mut now: Instant = network.now;
    let destination = server.socket();
    for sequence in 1000..60_000 {
        now += Duration::from_micros(100);
        let micros = (now - network.begin).as_micros();
        let timestamp = u32::try_from(micros).expect("a short run");
        let packet = Packet {
            timestamp,
            destination,
            body: data(sequence),
        };
        server.handle_datagram(&packet.write(), now);
    }
    assert!(std::iter::from_fn(|| server.poll_transmit()).count() <= 1024);
    assert!(std::iter::from_fn(|| server.poll_event()).count() <= 8193);
}
