//! Loss, reordering and duplication: everything comes, in order, and in its time.

use std::time::{Duration, Instant};

use super::network::{End, Link, MILLI, Network, Setup, delivered, dropped, payload};
use crate::srt::caller::CallerConfig;
use crate::srt::connection::{CloseReason, Event, SendError};

fn lossy(seed: u64, link: Link) -> Setup {
    let latency = 400 * MILLI;
    Setup {
        seed,
        link,
        latency,
        caller: CallerConfig {
            latency,
            ..CallerConfig::default()
        },
        ..Setup::default()
    }
}

/// Publishes over such a network and checks that nothing is missing and the time of each packet
/// is that of its sending plus something that never changes.
fn check_whole(from: End, setup: Setup, count: u32) -> Network {
    let seed = setup.seed;
    let mut network = Network::connected(setup);
    let gap = 2 * MILLI;
    let first = network.now;
    network.publish(from, count, gap);
    network.run_for(2 * Duration::from_secs(1));
    let events = match from {
        End::Client => &network.server_events,
        End::Server => &network.client_events,
    };
    let got = delivered(events);
    let numbers: Vec<u32> = got.iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "seed {seed}");
    assert_eq!(dropped(events), 0, "seed {seed}");
    let held = |(at, number): (Instant, u32)| at - (first + gap * number);
    let least = got.iter().map(|one| held(*one)).min().expect("some came");
    let most = got.iter().map(|one| held(*one)).max().expect("some came");
    // Corrections for a clock that does not drift are what jitter leaves of its mean.
    assert!(
        most - least <= 5 * MILLI,
        "seed {seed}: held for {least:?} to {most:?}"
    );
    assert!(
        least >= 400 * MILLI && most <= 460 * MILLI,
        "held for {least:?} to {most:?}"
    );
    network
}

#[test]
fn without_loss_delivery_is_spaced_exactly_as_sending() {
    let mut network = Network::connected(Setup::default());
    let first = network.now;
    network.publish(End::Client, 500, 3 * MILLI);
    network.run_for(Duration::from_secs(1));
    let got = delivered(&network.server_events);
    assert_eq!(got.len(), 500);
    for (at, number) in got {
        // One way of 25 ms for the handshake, and the latency.
        assert_eq!(at, first + 3 * MILLI * number + 145 * MILLI);
    }
    let now = network.now;
    let statistics = network.server().statistics(now);
    assert_eq!(
        (statistics.packets_received, statistics.packets_lost),
        (500, 0)
    );
    assert_eq!(statistics.rtt, 50 * MILLI);
    let statistics = network.client().statistics(now);
    assert_eq!(
        (statistics.packets_sent, statistics.packets_retransmitted),
        (500, 0)
    );
    assert_eq!(statistics.send_queue, 0);
}

#[test]
fn one_percent_of_loss_is_recovered_in_both_directions() {
    for seed in 0..4 {
        for from in [End::Client, End::Server] {
            let link = Link {
                loss: 0.01,
                ..Link::default()
            };
            let mut network = check_whole(from, lossy(seed, link), 3000);
            let now = network.now;
            let receiver = match from {
                End::Client => network.server().statistics(now),
                End::Server => network.client().statistics(now),
            };
            assert!(receiver.packets_lost > 10, "{receiver:?}");
            assert_eq!(receiver.packets_lost, receiver.packets_recovered);
        }
    }
}

#[test]
fn ten_percent_of_loss_is_recovered() {
    for seed in 10..16 {
        let link = Link {
            loss: 0.1,
            ..Link::default()
        };
        let mut network = check_whole(End::Client, lossy(seed, link), 3000);
        let now = network.now;
        let sender = network.client().statistics(now);
        // Each packet is sent 1.11 times where no report and no packet is sent for nothing.
        assert!(sender.packets_retransmitted < 600, "{sender:?}");
    }
}

#[test]
fn bursts_of_loss_are_recovered() {
    for seed in 20..26 {
        let link = Link {
            bursts: (0.002, 30),
            ..Link::default()
        };
        check_whole(End::Client, lossy(seed, link), 3000);
    }
}

#[test]
fn reordering_and_duplicates_change_nothing() {
    for seed in 30..34 {
        let link = Link {
            jitter: 10 * MILLI,
            duplicates: 0.05,
            loss: 0.02,
            ..Link::default()
        };
        check_whole(End::Client, lossy(seed, link), 3000);
    }
}

#[test]
fn numbers_and_timestamps_wrap_unnoticed() {
    let link = Link {
        loss: 0.05,
        ..Link::default()
    };
    let setup = Setup {
        initial_sequence: 0x7fff_ffff - 1000,
        // The caller's clock wraps 5 s after the beginning.
        age: Duration::from_micros(u64::from(u32::MAX)) - Duration::from_secs(5),
        ..lossy(40, link)
    };
    check_whole(End::Client, setup, 3000);
}

#[test]
fn what_cannot_come_in_time_is_given_up_and_the_rest_comes_in_its_time() {
    let mut network = Network::connected(Setup {
        link: Link {
            // A report and its answer take 200 ms, the latency is 120 ms.
            delay: 100 * MILLI,
            ..Link::default()
        },
        ..Setup::default()
    });
    network.setup.link.loss = 0.05;
    let first = network.now;
    network.publish(End::Client, 1000, 2 * MILLI);
    network.setup.link.loss = 0.0;
    network.run_for(Duration::from_secs(1));
    let got = delivered(&network.server_events);
    let lost = dropped(&network.server_events);
    assert_eq!(got.len() as u64 + lost, 1000);
    assert!((30..80).contains(&lost), "{lost} lost");
    for (at, number) in got {
        assert_eq!(at, first + 2 * MILLI * number + 220 * MILLI);
    }
    let now = network.now;
    let statistics = network.server().statistics(now);
    assert_eq!(statistics.packets_dropped, lost);
    assert!(
        statistics.packets_late > 0,
        "what was sent again came too late"
    );
}

#[test]
fn after_an_outage_the_stream_goes_on() {
    let mut network = Network::connected(Setup::default());
    network.publish(End::Client, 100, 5 * MILLI);
    network.setup.link.loss = 1.0;
    network.publish(End::Client, 400, 5 * MILLI);
    network.setup.link.loss = 0.0;
    network.publish(End::Client, 100, 5 * MILLI);
    network.run_for(Duration::from_secs(1));
    let got = delivered(&network.server_events);
    let lost = dropped(&network.server_events);
    assert_eq!(got.len() as u64 + lost, 600);
    // Of two seconds the sender has forgotten the first, at least.
    assert!((180..400).contains(&lost), "{lost} lost");
    let last: Vec<u32> = got
        .iter()
        .rev()
        .take(100)
        .map(|(_, number)| *number)
        .collect();
    assert_eq!(last, (0..100).rev().collect::<Vec<_>>());
}

#[test]
fn a_sender_gives_up_on_what_the_peer_does_not_take() {
    let mut network = Network::connected(Setup::default());
    network.setup.link.loss = 1.0;
    network.publish(End::Client, 300, 10 * MILLI);
    let now = network.now;
    let statistics = network.client().statistics(now);
    assert!(statistics.packets_expired >= 150, "{statistics:?}");
    assert!(statistics.send_queue <= 110, "{statistics:?}");
    network.setup.link.loss = 0.0;
    network.publish(End::Client, 100, 10 * MILLI);
    network.run_for(Duration::from_secs(1));
    let last = delivered(&network.server_events)
        .last()
        .map(|(_, number)| *number);
    assert_eq!(last, Some(99));
}

#[test]
fn the_last_packets_come_although_nothing_follows_them() {
    for lost in [1, 5, 40] {
        let latency = 600 * MILLI;
        let mut network = Network::connected(Setup {
            latency,
            ..Setup::default()
        });
        network.publish(End::Client, 100, 2 * MILLI);
        network.setup.link.loss = 1.0;
        network.publish(End::Client, lost, MILLI);
        network.setup.link.loss = 0.0;
        network.run_for(Duration::from_secs(2));
        let got = delivered(&network.server_events).len();
        assert_eq!(got, 100 + lost as usize);
    }
}

#[test]
fn a_burst_is_spread_and_comes_in_time() {
    let mut network = Network::connected(Setup::default());
    let now = network.now;
    for number in 0..300 {
        network
            .client()
            .send(&payload(number), now)
            .expect("there is room");
    }
    let mut at_once = 0;
    while network.client().poll_transmit().is_some() {
        at_once += 1;
    }
    assert!((1..60).contains(&at_once), "{at_once} at once");
    network.run_for(Duration::from_secs(1));
    let sent = network.client().statistics(now).packets_sent;
    assert_eq!(sent, 300);
    // What the test took away was asked for again.
    assert_eq!(delivered(&network.server_events).len(), 300);
}

#[test]
fn a_full_queue_refuses_and_loses_nothing() {
    let mut network = Network::connected(Setup::default());
    let now = network.now;
    for number in 0..8192 {
        network
            .client()
            .send(&payload(number), now)
            .expect("there is room");
    }
    assert_eq!(network.client().send(b"x", now), Err(SendError::QueueFull));
    let limit = network.client().max_payload();
    assert_eq!(limit, 1456);
    let long = vec![0; limit + 1];
    assert_eq!(
        network.client().send(&long, now),
        Err(SendError::TooLong { limit })
    );
}

#[test]
fn both_directions_carry_media_at_once() {
    let link = Link {
        loss: 0.05,
        ..Link::default()
    };
    let mut network = Network::connected(lossy(50, link));
    for number in 0..1000 {
        let now = network.now;
        network
            .client()
            .send(&payload(number), now)
            .expect("there is room");
        network
            .server()
            .send(&payload(number), now)
            .expect("there is room");
        network.drain();
        network.run_for(4 * MILLI);
    }
    network.run_for(Duration::from_secs(1));
    assert_eq!(delivered(&network.server_events).len(), 1000);
    assert_eq!(delivered(&network.client_events).len(), 1000);
}

#[test]
fn an_idle_connection_lives_and_a_silent_peer_is_gone_after_five_seconds() {
    let mut network = Network::connected(Setup::default());
    network.run_for(Duration::from_secs(60));
    assert_eq!(network.server_events.len(), 1);
    let sent = network.datagrams;
    network.run_for(Duration::from_secs(10));
    assert!(
        network.datagrams - sent <= 22,
        "a keepalive per second and side"
    );
    network.setup.link.loss = 1.0;
    network.run_for(Duration::from_millis(3900));
    assert!(!network.server().is_closed());
    network.run_for(Duration::from_millis(1200));
    let last = network.server_events.last().map(|(_, event)| event.clone());
    assert_eq!(last, Some(Event::Closed(CloseReason::PeerIdle)));
    assert_eq!(network.server().poll_timeout(), None);
}

#[test]
fn closing_waits_until_the_peer_has_played_and_no_longer() {
    let mut network = Network::connected(Setup::default());
    network.publish(End::Client, 100, 2 * MILLI);
    let last = network.now - 2 * MILLI;
    let now = network.now;
    network.client().close(now);
    network.drain();
    network.run_for(Duration::from_secs(1));
    let (at, event) = network.client_events.last().cloned().expect("it ends");
    assert_eq!(event, Event::Closed(CloseReason::Local));
    // The latency, a round trip and a margin.
    assert_eq!(at, last + 270 * MILLI);
    // Nothing was sent from here: nobody waits.
    let mut network = Network::connected(Setup::default());
    let now = network.now;
    network.server().close(now);
    network.drain();
    assert!(network.server().is_closed());
    network.run_for(30 * MILLI);
    let last = network.client_events.last().map(|(_, event)| event.clone());
    assert_eq!(last, Some(Event::Closed(CloseReason::PeerShutdown)));
}

#[test]
fn what_a_shutdown_overtakes_is_delivered_all_the_same() {
    let mut network = Network::connected(Setup::default());
    network.publish(End::Client, 1, MILLI);
    let now = network.now;
    network
        .client()
        .send(&payload(1), now)
        .expect("there is room");
    let late = network.client().poll_transmit().expect("it leaves at once");
    network.run_for(30 * MILLI);
    let mut shutdown = late.clone();
    shutdown.truncate(16);
    shutdown[..4].copy_from_slice(&[0x80, 5, 0, 0]);
    network.arrive(End::Server, &shutdown);
    network.run_for(5 * MILLI);
    network.arrive(End::Server, &late);
    network.run_for(Duration::from_secs(1));
    assert_eq!(delivered(&network.server_events).len(), 2);
    let last = network.server_events.last().map(|(_, event)| event.clone());
    assert_eq!(last, Some(Event::Closed(CloseReason::PeerShutdown)));
}

#[test]
fn closing_delivers_what_was_sent_before() {
    let link = Link {
        loss: 0.05,
        ..Link::default()
    };
    let mut network = Network::connected(lossy(60, link));
    network.publish(End::Client, 500, 2 * MILLI);
    let now = network.now;
    network.client().close(now);
    assert_eq!(network.client().send(b"x", now), Err(SendError::Closed));
    network.drain();
    network.run_for(Duration::from_secs(7));
    assert_eq!(delivered(&network.server_events).len(), 500);
    let ends = [&network.client_events, &network.server_events];
    let last = ends.map(|events| events.last().map(|(_, event)| event.clone()));
    assert_eq!(last[0], Some(Event::Closed(CloseReason::Local)));
    assert_eq!(last[1], Some(Event::Closed(CloseReason::PeerShutdown)));
}
