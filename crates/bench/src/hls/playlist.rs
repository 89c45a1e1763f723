//! What a player reads in playlists (RFC 8216bis).

use std::time::Duration;

use reqwest::Url;

/// Why a playlist cannot be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unplayable {
    /// Not a playlist at all.
    #[error("no playlist: the first line is not #EXTM3U")]
    NoPlaylist,
    /// A multivariant playlist without a variant.
    #[error("a multivariant playlist without a variant")]
    NoVariant,
    /// The server cannot hold a request until there is something new.
    #[error("the server has no blocking reload (CAN-BLOCK-RELOAD), so it has no low latency")]
    NoBlocking,
    /// Something has an address that is none.
    #[error("an address that is none")]
    Address,
    /// Parts that are ranges of a file.
    #[error("parts by byte range, which this generator does not ask for")]
    ByteRange,
}

/// What `url` turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Playlist {
    /// Media playlists to follow: of the best variant, and of its sound where that is apart.
    Multivariant(Vec<Url>),
    /// Segments and parts.
    Media(Media),
}

/// A media playlist.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Media {
    /// Initialisation sections, in order.
    pub(crate) maps: Vec<Url>,
    /// The parts that are listed from the wanted one on, in order.
    pub(crate) parts: Vec<Part>,
    /// What `_HLS_msn` and `_HLS_part` name the next part with.
    pub(crate) next: Place,
    pub(crate) part_target: Duration,
    pub(crate) can_skip: bool,
}

/// Which part of which segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) part: u64,
}

/// A part.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) place: Place,
    pub(crate) url: Url,
    pub(crate) duration: Duration,
    /// Nothing is there.
    pub(crate) gap: bool,
}

impl Playlist {
    /// Reads the playlist that came from `base`; parts before `from` are counted and left out.
    ///
    /// # Errors
    ///
    /// It is none, or none that can be played with low latency.
    pub(crate) fn parse(text: &str, base: &Url, from: Place) -> Result<Self, Unplayable> {
        if text.lines().next().map(str::trim) != Some("#EXTM3U") {
            return Err(Unplayable::NoPlaylist);
        }
        if text.contains("#EXT-X-STREAM-INF:") {
            variants(text, base).map(Self::Multivariant)
        } else {
            media(text, base, from).map(Self::Media)
        }
    }
}

fn variants(text: &str, base: &Url) -> Result<Vec<Url>, Unplayable> {
    let mut best: Option<(u64, Option<&str>, &str)> = None;
    let mut pending = None;
    for line in text.lines().map(str::trim) {
        if let Some(attributes) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            let bandwidth = attribute(attributes, "BANDWIDTH").and_then(|text| text.parse().ok());
            pending = Some((bandwidth.unwrap_or(0), attribute(attributes, "AUDIO")));
        } else if !line.is_empty()
            && !line.starts_with('#')
            && let Some((bandwidth, audio)) = pending.take()
            && best.is_none_or(|(most, ..)| bandwidth > most)
        {
            best = Some((bandwidth, audio, line));
        }
    }
    let (_, group, address) = best.ok_or(Unplayable::NoVariant)?;
    let mut urls = vec![join(base, address)?];
    let sound = group.and_then(|group| {
        let groups = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("#EXT-X-MEDIA:"));
        groups
            .filter(|media| attribute(media, "GROUP-ID") == Some(group))
            .find_map(|media| attribute(media, "URI"))
    });
    if let Some(address) = sound {
        urls.push(join(base, address)?);
    }
    Ok(urls)
}

fn media(text: &str, base: &Url, from: Place) -> Result<Media, Unplayable> {
    let mut media = Media::default();
    let mut can_block = false;
    for line in text.lines().map(str::trim) {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-MEDIA-SEQUENCE" => media.next.segment = value.parse().unwrap_or(0),
            "#EXT-X-SKIP" => {
                let skipped = attribute(value, "SKIPPED-SEGMENTS");
                media.next.segment += skipped.and_then(|count| count.parse().ok()).unwrap_or(0);
            }
            "#EXT-X-SERVER-CONTROL" => {
                can_block = attribute(value, "CAN-BLOCK-RELOAD") == Some("YES");
                media.can_skip = attribute(value, "CAN-SKIP-UNTIL").is_some();
            }
            "#EXT-X-PART-INF" => media.part_target = seconds(attribute(value, "PART-TARGET")),
            "#EXT-X-MAP" => {
                let url = join(base, attribute(value, "URI").ok_or(Unplayable::Address)?)?;
                media.maps.push(url);
            }
            "#EXT-X-PART" if media.next < from => media.next.part += 1,
            "#EXT-X-PART" => {
                if attribute(value, "BYTERANGE").is_some() {
                    return Err(Unplayable::ByteRange);
                }
                media.parts.push(Part {
                    place: media.next,
                    url: join(base, attribute(value, "URI").ok_or(Unplayable::Address)?)?,
                    duration: seconds(attribute(value, "DURATION")),
                    gap: attribute(value, "GAP") == Some("YES"),
                });
                media.next.part += 1;
            }
            _ if !line.is_empty() && !line.starts_with('#') => {
                media.next = Place {
                    segment: media.next.segment + 1,
                    part: 0,
                };
            }
            _ => {}
        }
    }
    if can_block {
        Ok(media)
    } else {
        Err(Unplayable::NoBlocking)
    }
}

fn join(base: &Url, address: &str) -> Result<Url, Unplayable> {
    base.join(address).map_err(|_| Unplayable::Address)
}

fn seconds(text: Option<&str>) -> Duration {
    text.and_then(|text| text.parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or_default()
}

/// An attribute's value without its quotes (RFC 8216, 4.2). Commas within quotes do not part.
fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"')?;
                (value, next.strip_prefix(',').unwrap_or(next))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim() == name {
            return Some(value.trim());
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("http://h/hls/room/index.m3u8").expect("a URL")
    }

    #[test]
    fn the_best_variant_and_its_sound_are_followed() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x, y\",URI=\"a.m3u8\"\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=100,CODECS=\"avc1.42e01f,opus\"\nlow.m3u8\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=900,CODECS=\"avc1.42e01f,opus\",AUDIO=\"a\"\nv.m3u8\n";
        let Playlist::Multivariant(urls) =
            Playlist::parse(text, &base(), Place::default()).expect("parses")
        else {
            panic!("multivariant");
        };
        let urls: Vec<&str> = urls.iter().map(Url::as_str).collect();
        assert_eq!(
            urls,
            ["http://h/hls/room/v.m3u8", "http://h/hls/room/a.m3u8"]
        );
    }

    #[test]
    fn parts_are_counted_within_their_segments() {
        let text = "#EXTM3U\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=24\n\
                    #EXT-X-PART-INF:PART-TARGET=0.2\n#EXT-X-MEDIA-SEQUENCE:7\n\
                    #EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF:2,\n9.mp4\n\
                    #EXT-X-PART:DURATION=0.2,URI=\"10.0.mp4\",INDEPENDENT=YES\n\
                    #EXT-X-PART:DURATION=0.2,URI=\"10.1.mp4\"\n#EXTINF:0.4,\n10.mp4\n\
                    #EXT-X-PART:DURATION=0.2,URI=\"11.0.mp4\"\n\
                    #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"11.1.mp4\"\n";
        let Playlist::Media(media) =
            Playlist::parse(text, &base(), Place::default()).expect("parses")
        else {
            panic!("media");
        };
        let places: Vec<(u64, u64)> = media
            .parts
            .iter()
            .map(|part| (part.place.segment, part.place.part))
            .collect();
        assert_eq!(places, [(10, 0), (10, 1), (11, 0)]);
        assert_eq!((media.next.segment, media.next.part), (11, 1));
        assert_eq!(media.part_target, Duration::from_millis(200));
        assert!(media.can_skip && media.maps.len() == 1);
        let from = Place {
            segment: 10,
            part: 1,
        };
        let Playlist::Media(rest) = Playlist::parse(text, &base(), from).expect("parses") else {
            panic!("media");
        };
        assert_eq!(rest.parts, media.parts[1..]);
        assert_eq!(rest.next, media.next);
    }

    #[test]
    fn what_cannot_be_played_is_named() {
        let parse = |text| Playlist::parse(text, &base(), Place::default());
        assert_eq!(parse("<html>"), Err(Unplayable::NoPlaylist));
        assert_eq!(parse("#EXTM3U\n"), Err(Unplayable::NoBlocking));
        assert_eq!(
            parse("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n"),
            Err(Unplayable::NoVariant)
        );
        assert_eq!(
            parse("#EXTM3U\n#EXT-X-PART:DURATION=1,URI=\"a\",BYTERANGE=\"5@0\"\n"),
            Err(Unplayable::ByteRange)
        );
    }
}
