//! One player: it follows the playlists and fetches every part as soon as it is listed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Url};
use tokio::sync::watch;

use super::playlist::{Media, Part, Place, Playlist};
use crate::clock::Clock;
use crate::stamp;
use crate::viewer::histogram;

/// Longest time for one request: a server may hold a reload for three target durations.
const DEADLINE: Duration = Duration::from_secs(30);

/// Players are as many parts behind the end as the specification advises.
const HOLD_BACK: u32 = 3;

/// What all players write into.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) measuring: bool,
    /// Microseconds from the capture of a part's last frame until a player has the whole part.
    pub(crate) delay: Histogram<u64>,
    /// Microseconds from the first request until a player has its first part.
    pub(crate) first_part: Histogram<u64>,
    pub(crate) playing: u64,
    pub(crate) requests: u64,
    pub(crate) parts: u64,
    pub(crate) bytes: u64,
    /// Parts that were listed and gone before a player asked, or never listed to it.
    pub(crate) missed: u64,
    /// Parts that came after a player at its hold-back distance had nothing left to play.
    pub(crate) late: u64,
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            measuring: false,
            delay: histogram(),
            first_part: histogram(),
            playing: 0,
            requests: 0,
            parts: 0,
            bytes: 0,
            missed: 0,
            late: 0,
            failures: BTreeMap::new(),
        }
    }
}

impl Figures {
    /// Players of which it is known whether they have media.
    pub(crate) fn known(&self) -> u64 {
        self.playing + self.failures.values().sum::<u64>()
    }
}

/// What players share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) token: Option<HeaderValue>,
    pub(crate) run: u32,
    pub(crate) clock: Clock,
    pub(crate) figures: Mutex<Figures>,
}

impl Shared {
    pub(crate) fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn get(&self, url: Url) -> Result<bytes::Bytes, String> {
        let mut request = self.client.get(url).timeout(DEADLINE);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        let failed = |error: reqwest::Error| {
            if error.is_timeout() {
                "no answer in time".to_owned()
            } else {
                "unreachable".to_owned()
            }
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            return Err(status.to_string());
        }
        let body = response.bytes().await.map_err(failed)?;
        let mut figures = self.figures();
        if figures.measuring {
            figures.requests += 1;
            figures.bytes += body.len() as u64;
        }
        Ok(body)
    }

    async fn playlist(&self, url: Url, from: Place) -> Result<Playlist, String> {
        let body = self.get(url.clone()).await?;
        let text = std::str::from_utf8(&body).map_err(|_| "a playlist that is not text")?;
        Playlist::parse(text, &url, from).map_err(|unplayable| unplayable.to_string())
    }
}

/// Plays until `stopped` says so; a failure ends it and is counted.
pub(crate) async fn play(shared: Arc<Shared>, url: Url, mut stopped: watch::Receiver<bool>) {
    let asked = Instant::now();
    let playing = async {
        let tracks = match shared.playlist(url.clone(), Place::default()).await? {
            Playlist::Multivariant(urls) => urls,
            Playlist::Media(_) => vec![url],
        };
        let mut follow = tokio::task::JoinSet::new();
        for (index, track) in tracks.into_iter().enumerate() {
            // The picture tells when the player has something to show.
            let joined = (index == 0).then_some(asked);
            follow.spawn(Track::new(Arc::clone(&shared), track, joined).follow());
        }
        match follow.join_next().await {
            Some(Ok(Err(failure))) => Err(failure),
            Some(Ok(Ok(()))) | None => Ok(()),
            Some(Err(_)) => Err("a player's task has ended".to_owned()),
        }
    };
    let ended = tokio::select! {
        ended = playing => ended,
        // A dropped sender ends it too.
        _ = stopped.wait_for(|stopped| *stopped) => return,
    };
    if let Err(failure) = ended {
        *shared.figures().failures.entry(failure).or_default() += 1;
    }
}

/// One media playlist as one player follows it.
struct Track {
    shared: Arc<Shared>,
    url: Url,
    joined: Option<Instant>,
    /// Of the part that comes next.
    next: Option<Place>,
    maps: Vec<Url>,
    /// Media time of all parts so far.
    position: Duration,
    /// Smallest difference of arrival and media time: how it is when nothing is late.
    base: Option<f64>,
    began: Instant,
}

impl Track {
    fn new(shared: Arc<Shared>, url: Url, joined: Option<Instant>) -> Self {
        Self {
            shared,
            url,
            joined,
            next: None,
            maps: Vec::new(),
            position: Duration::ZERO,
            base: None,
            began: Instant::now(),
        }
    }

    async fn follow(mut self) -> Result<(), String> {
        let mut ask = self.url.clone();
        loop {
            let from = self.next.unwrap_or_default();
            let Playlist::Media(media) = self.shared.playlist(ask, from).await? else {
                return Err("a multivariant playlist in place of a media playlist".to_owned());
            };
            for map in &media.maps {
                if !self.maps.contains(map) {
                    self.shared.get(map.clone()).await?;
                    self.maps.push(map.clone());
                }
            }
            let parts = self.fresh(&media);
            for part in &parts {
                self.fetch(part, media.part_target).await?;
            }
            ask = self.url.clone();
            let next = media.next;
            let mut query = ask.query_pairs_mut();
            query
                .append_pair("_HLS_msn", &next.segment.to_string())
                .append_pair("_HLS_part", &next.part.to_string());
            if media.can_skip {
                query.append_pair("_HLS_skip", "YES");
            }
            drop(query);
        }
    }

    /// Listed parts that this player has not got, and whether some were missed.
    fn fresh(&mut self, media: &Media) -> Vec<Part> {
        let mut parts = media.parts.clone();
        if self.next.is_none() {
            // A player begins at the newest segment.
            let last = parts.last().map(|part| part.place.segment);
            parts.retain(|part| Some(part.place.segment) == last);
        }
        for part in &parts {
            let follows = self.next.is_none_or(|next| {
                part.place == next
                    || part.place
                        == Place {
                            segment: next.segment + 1,
                            part: 0,
                        }
            });
            if !follows {
                self.shared.figures().missed += 1;
            }
            self.next = Some(Place {
                part: part.place.part + 1,
                ..part.place
            });
        }
        parts
    }

    async fn fetch(&mut self, part: &Part, part_target: Duration) -> Result<(), String> {
        if part.gap {
            self.position += part.duration;
            return Ok(());
        }
        let body = self.shared.get(part.url.clone()).await?;
        let now = Instant::now();
        let captured = stamp::find_last(&body, self.shared.run);
        let late = self.is_late(now, part_target);
        self.position += part.duration;
        let mut figures = self.shared.figures();
        if let Some(asked) = self.joined.take() {
            figures.playing += 1;
            let waited = u64::try_from((now - asked).as_micros()).unwrap_or(u64::MAX);
            figures.first_part.saturating_record(waited);
        }
        if figures.measuring {
            figures.parts += 1;
            figures.late += u64::from(late);
            if let Some(captured) = captured {
                let delay = self.shared.clock.micros(now).saturating_sub(captured);
                figures.delay.saturating_record(delay);
            }
        }
        Ok(())
    }

    fn is_late(&mut self, now: Instant, part_target: Duration) -> bool {
        let behind = (now - self.began).as_secs_f64() - self.position.as_secs_f64();
        let base = self.base.map_or(behind, |base| base.min(behind));
        self.base = Some(base);
        behind - base > (part_target * HOLD_BACK).as_secs_f64()
    }
}
