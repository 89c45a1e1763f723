//! What time demands of a connection: delivery, acknowledgements, loss reports, sending at its
//! pace, new keys, signs of life, the end.

use std::time::{Duration, Instant};

use super::{
    ACK_INTERVAL, CloseReason, Connection, Event, KEEPALIVE, MAX_TRANSMITS, NAK_TICK, PEER_IDLE,
    State,
};
use crate::srt::receiver::{Delivery, RECEIVE_WINDOW};
use crate::srt::wire::{AckDetails, Body, HEADER};

/// A packet is reported again no sooner than this; sooner would only report what is on its way.
const NAK_MIN_INTERVAL: Duration = Duration::from_millis(20);

/// The next key is announced again after this or one and a half round trips.
const ANNOUNCE_INTERVAL: Duration = Duration::from_millis(100);

impl Connection {
    /// Everything that time can bring.
    pub(super) fn advance(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        self.deliver(now);
        if self.state == State::Draining {
            if self.receiver.next_due().is_none() && self.events.len() < RECEIVE_WINDOW {
                self.end(CloseReason::PeerShutdown, now);
            }
            return;
        }
        if now >= self.last_heard + PEER_IDLE {
            self.end(CloseReason::PeerIdle, now);
            return;
        }
        self.acknowledge(now);
        self.report_overdue(now);
        self.pump(now);
        self.announce_key(now);
        if let State::Closing { deadline } = self.state
            && (now >= deadline || (self.sender.is_empty() && now >= self.played(deadline)))
        {
            self.end(CloseReason::Local, now);
            return;
        }
        if now >= self.last_sent + KEEPALIVE {
            self.control(Body::KeepAlive, now);
        }
    }

    fn deliver(&mut self, now: Instant) {
        // Whoever does not fetch its events leaves the rest in the receive buffer.
        while self.events.len() < RECEIVE_WINDOW {
            match self.receiver.deliver(now) {
                None => return,
                Some(Delivery::Payload(payload)) => self.events.push_back(Event::Data(payload)),
                Some(Delivery::Lost(packets)) => {
                    self.statistics.packets_dropped += packets;
                    self.events.push_back(Event::Dropped { packets });
                }
            }
        }
    }

    fn acknowledge(&mut self, now: Instant) {
        if self.next_ack.is_none_or(|at| now < at) {
            return;
        }
        let again = self.last_full_ack + self.rtt.patience().max(ACK_INTERVAL);
        if self.receiver.has_news() || (self.receiver.owes_ack() && now >= again) {
            self.full_ack(now);
            self.next_ack = Some(now + ACK_INTERVAL);
        } else if self.receiver.owes_ack() {
            self.next_ack = Some(again);
        } else {
            self.next_ack = None;
        }
    }

    fn full_ack(&mut self, now: Instant) {
        self.received.turn(now);
        let micros = |duration: Duration| u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        let rate = |rate: u64| u32::try_from(rate).unwrap_or(u32::MAX);
        let mut ack = self.receiver.full_ack(now);
        ack.details = Some(AckDetails {
            rtt: micros(self.rtt.smoothed()),
            variance: micros(self.rtt.variance()),
            // Less than two would stop some senders for good.
            available: self.receiver.available().max(2),
            packet_rate: rate(self.received.packets_per_second()),
            byte_rate: rate(self.received.bytes_per_second()),
        });
        self.last_full_ack = now;
        self.since_ack = 0;
        self.control(Body::Ack(ack), now);
    }

    fn report_overdue(&mut self, now: Instant) {
        if self.next_nak.is_none_or(|at| now < at) {
            return;
        }
        let interval = (self.rtt.patience() / 2).max(NAK_MIN_INTERVAL);
        if let Some(before) = now.checked_sub(interval) {
            let ranges = self.receiver.overdue_losses(before, now);
            self.report(&ranges, now);
        }
        let more = self.receiver.has_losses();
        self.next_nak = more.then_some(now + NAK_TICK);
    }

    fn pump(&mut self, now: Instant) {
        self.sender.handle_silence(&self.rtt, now);
        if let Some((expired, (first, last))) = self.sender.expire(now) {
            self.statistics.packets_expired += expired;
            self.drop_request(first, last, now);
        }
        while self.transmits.len() < MAX_TRANSMITS {
            let Some((datagram, again)) = self.sender.send(&self.rtt, now) else {
                return;
            };
            if again {
                self.statistics.packets_retransmitted += 1;
            } else {
                self.statistics.packets_sent += 1;
                self.statistics.bytes_sent += datagram.len().saturating_sub(HEADER) as u64;
            }
            self.transmit(datagram, now);
        }
    }

    fn announce_key(&mut self, now: Instant) {
        let Some(crypto) = &mut self.crypto else {
            return;
        };
        let Some(message) = crypto.announcement() else {
            return;
        };
        if now < self.next_announcement {
            return;
        }
        let message = message.to_vec();
        let interval = self.rtt.smoothed() + self.rtt.smoothed() / 2;
        self.next_announcement = now + interval.max(ANNOUNCE_INTERVAL);
        self.control(Body::KeyRequest(&message), now);
    }
}
