//! Two connected ends of SRT whose datagrams are damaged, lost, doubled and made up.
//!
//! The first byte says whether they encrypt. Where datagrams are only lost and doubled, what
//! arrives is what was sent, in its order, and the rest is told as dropped.
#![cfg_attr(fuzzing, no_main)]

use std::time::Duration;

use inver_fuzz::{Input, srt::Pair};
use inver_protocols::srt::{Connection, Event};

inver_fuzz::target!(run);

/// Steps that are taken at most, to bound the time of one input.
const STEPS: usize = 128;

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut pair = Pair::connected(input.byte() & 1 != 0);
    let mut sent = [0_u32; 2];
    let mut faithful = true;
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let step = input.byte();
        let end = usize::from(step >> 7);
        match step % 8 {
            0 | 1 => {
                for _ in 0..=step >> 3 & 15 {
                    let payload = payload(sent[end], usize::from(input.byte()) * 6);
                    let now = pair.now;
                    if pair.ends[end].send(&payload, now).is_ok() {
                        sent[end] += 1;
                    }
                }
                pair.exchange();
            }
            2 => pair.pass(Duration::from_millis(u64::from(input.byte()))),
            3 => {
                let bits = input.byte();
                faithful &= bits == 0;
                pair.ways[end].damage = Some((usize::from(input.short()), bits));
            }
            4 => pair.ways[end].lose = input.byte() & 15,
            5 => pair.ways[end].twice = input.byte() & 15,
            6 => {
                faithful = false;
                pair.inject(end, input.block());
            }
            _ => {
                let now = pair.now;
                if step == 0xff {
                    pair.ends[end].close(now);
                }
                pair.exchange();
            }
        }
    }
    pair.pass(Duration::from_secs(2));
    let now = pair.now;
    for end in &mut pair.ends {
        let statistics = end.statistics(now);
        assert!(statistics.rtt < Duration::from_secs(60), "{statistics:?}");
        end.close(now);
    }
    pair.exchange();
    pair.pass(Duration::from_secs(60));
    for (end, events) in pair.events.iter().enumerate() {
        let limit = pair.ends[end].max_payload();
        assert!(pair.ends[end].is_closed(), "it ends");
        assert_eq!(Connection::poll_timeout(&pair.ends[end]), None);
        assert_eq!(events.first(), Some(&Event::Connected));
        assert!(matches!(events.last(), Some(Event::Closed(_))));
        check(events, limit, faithful.then_some(sent[1 - end]));
    }
}

/// A payload that says its number.
fn payload(number: u32, len: usize) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(len.clamp(4, 1316), number as u8);
    payload
}

fn check(events: &[Event], limit: usize, sent: Option<u32>) {
    let mut next = 0;
    let mut dropped = 0;
    for event in events {
        match event {
            Event::Data(payload) => {
                assert!(payload.len() <= limit.max(1500));
                if sent.is_none() {
                    continue;
                }
                let number = payload
                    .first_chunk()
                    .map(|bytes| u32::from_be_bytes(*bytes));
                let number = number.expect("what was sent has a number");
                assert!(number >= next, "{number} after {next}");
                assert_eq!(
                    u64::from(number - next),
                    std::mem::take(&mut dropped),
                    "what is missing is told"
                );
                assert!(payload[4..].iter().all(|byte| *byte == number as u8));
                next = number + 1;
            }
            Event::Dropped { packets } => dropped += packets,
            Event::Connected | Event::Closed(_) => {}
        }
    }
    if let Some(sent) = sent {
        assert!(next <= sent, "{next} of {sent}");
    }
}
