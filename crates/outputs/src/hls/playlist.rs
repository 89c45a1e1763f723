//! Playlists (RFC 8216bis): what there is, in the words that players read.

use std::fmt::Write as _;
use std::time::Duration;

use inver_media::{Kind, MediaTime};
use time::OffsetDateTime;

use super::from_frames::{FromFrames, Name};
use super::rendition::{Place, Rendition, Segment};

/// Bandwidth that is promised above what was measured: frames differ.
const HEADROOM: f64 = 1.25;

/// Least bandwidth that is promised, for what has hardly begun.
const LEAST_BANDWIDTH: f64 = 64_000.0;

/// A picture's wall-clock time: that of one moment, once told and never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) wall: OffsetDateTime,
    pub(super) at: MediaTime,
}

impl Anchor {
    /// RFC 3339 with milliseconds, as `EXT-X-PROGRAM-DATE-TIME` has it.
    fn date(self, at: MediaTime) -> String {
        let nanos = at.0.saturating_sub(self.at.0);
        let date = self
            .wall
            .checked_add(time::Duration::nanoseconds(nanos))
            .unwrap_or(self.wall);
        // Rounded, not cut: half a microsecond before a millisecond is that millisecond.
        let date = date
            .checked_add(time::Duration::microseconds(500))
            .unwrap_or(date);
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            date.hour(),
            date.minute(),
            date.second(),
            date.millisecond()
        )
    }
}

/// What the playlist of a rendition is asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Wish {
    /// `_HLS_skip`: leave out what the player has already.
    pub(super) skip: bool,
}

/// The playlist of one rendition; `None` before its first part.
pub(super) fn media(stream: &FromFrames, name: Name, anchor: Anchor, wish: Wish) -> Option<String> {
    let rendition = stream.renditions.get(&name)?;
    let first = rendition.segments.front()?;
    last_part(rendition)?;
    let target = stream.shape().target();
    let mut out = String::with_capacity(4096 + rendition.segments.len() * 96);
    out.push_str("#EXTM3U\n#EXT-X-VERSION:9\n");
    line(&mut out, format_args!("#EXT-X-TARGETDURATION:{target}"));
    let part_target = rendition.part_target();
    control(&mut out, target, part_target);
    line(
        &mut out,
        format_args!("#EXT-X-MEDIA-SEQUENCE:{}", first.msn),
    );
    line(
        &mut out,
        format_args!(
            "#EXT-X-DISCONTINUITY-SEQUENCE:{}",
            rendition.discontinuities
        ),
    );
    let skipped = if wish.skip {
        skippable(rendition, target)
    } else {
        0
    };
    if skipped > 0 {
        line(
            &mut out,
            format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"),
        );
    }
    // Parts are listed near the end only (6.2.2): three target durations of them.
    let mut behind: f64 = 0.0;
    let with_parts = rendition
        .segments
        .iter()
        .rev()
        .take_while(|segment| {
            behind += segment.duration;
            behind - segment.duration < (3 * target) as f64
        })
        .count();
    let parts_from = rendition.segments.len() - with_parts;
    let mut map = None;
    let told = |segment: &Segment| segment.whole || !segment.parts.is_empty();
    let segments = rendition.segments.iter().enumerate().skip(skipped);
    for (index, segment) in segments.filter(|(_, segment)| told(segment)) {
        if segment.discontinuity {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if map != Some(segment.map)
            && !(skipped > 0 && map.is_none() && same_map(rendition, skipped))
        {
            line(
                &mut out,
                format_args!("#EXT-X-MAP:URI=\"{name}-i{}.mp4\"", segment.map),
            );
        }
        map = Some(segment.map);
        let parts = (index >= parts_from).then_some(part_target).flatten();
        write_segment(&mut out, name, segment, anchor, parts);
    }
    if let (Some(_), Some((msn, part))) = (part_target, rendition.next()) {
        line(
            &mut out,
            format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{name}-{msn}.{part}.m4s\""),
        );
    }
    for (other, rendition) in &stream.renditions {
        if *other != name
            && let Some((msn, part)) = last_part(rendition)
        {
            line(
                &mut out,
                format_args!(
                    "#EXT-X-RENDITION-REPORT:URI=\"{other}.m3u8\",LAST-MSN={msn},LAST-PART={part}"
                ),
            );
        }
    }
    Some(out)
}

/// Whether the first segment that is told needs the map that a skipped one told.
fn same_map(rendition: &Rendition, skipped: usize) -> bool {
    let map = |index: usize| rendition.segments.get(index).map(|segment| segment.map);
    skipped > 0 && map(skipped - 1) == map(skipped)
}

fn control(out: &mut String, target: u64, part_target: Option<Duration>) {
    let hold = target * 3;
    let skip = target * 6;
    match part_target {
        Some(part) => {
            let part = part.as_secs_f64();
            line(
                out,
                format_args!(
                    "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={skip}.0,\
                     PART-HOLD-BACK={:.3},HOLD-BACK={hold}.0",
                    part * 3.0
                ),
            );
            line(out, format_args!("#EXT-X-PART-INF:PART-TARGET={part:.5}"));
        }
        None => line(
            out,
            format_args!("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK={hold}.0"),
        ),
    }
}

/// Segments that a delta update may leave out: those that end earlier than six target durations
/// before the end.
fn skippable(rendition: &Rendition, target: u64) -> usize {
    let mut behind = 0.0;
    let kept = rendition
        .segments
        .iter()
        .rev()
        .take_while(|segment| {
            let kept = behind < (target * 6) as f64;
            behind += segment.duration;
            kept
        })
        .count();
    rendition.segments.len() - kept
}

fn write_segment(
    out: &mut String,
    name: Name,
    segment: &Segment,
    anchor: Anchor,
    parts: Option<Duration>,
) {
    if let (Place::Disk(_), None) = (&segment.place, parts) {
        // Nothing changes any more, and there may be thousands.
        let told = segment.told.get_or_init(|| {
            let mut told = String::with_capacity(128);
            tell_segment(&mut told, name, segment, anchor, None);
            told.into()
        });
        out.push_str(told);
    } else {
        tell_segment(out, name, segment, anchor, parts);
    }
}

fn tell_segment(
    out: &mut String,
    name: Name,
    segment: &Segment,
    anchor: Anchor,
    parts: Option<Duration>,
) {
    line(
        out,
        format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", anchor.date(segment.start)),
    );
    let msn = segment.msn;
    if parts.is_some() {
        for (index, part) in segment.parts.iter().enumerate() {
            let independent = if part.independent {
                ",INDEPENDENT=YES"
            } else {
                ""
            };
            line(
                out,
                format_args!(
                    "#EXT-X-PART:DURATION={:.5},URI=\"{name}-{msn}.{index}.m4s\"{independent}",
                    part.duration
                ),
            );
        }
    }
    if segment.whole {
        if segment.gap {
            out.push_str("#EXT-X-GAP\n");
        }
        line(out, format_args!("#EXTINF:{:.5},", segment.duration));
        line(out, format_args!("{name}-{msn}.m4s"));
    }
}

/// The last segment and part that there are.
pub(super) fn last_part(rendition: &Rendition) -> Option<(u64, usize)> {
    let segment = rendition
        .segments
        .iter()
        .rev()
        .find(|segment| !segment.parts.is_empty())?;
    Some((segment.msn, segment.parts.len() - 1))
}

/// The multivariant playlist; `None` while it is not known what there is.
pub(super) fn multivariant(stream: &FromFrames) -> Option<String> {
    let known = |name: &Name| {
        let rendition = stream.renditions.get(name)?;
        Some((rendition, rendition.track()?.codecs()?))
    };
    let mut out = String::with_capacity(1024);
    out.push_str("#EXTM3U\n#EXT-X-VERSION:9\n");
    // Each sound that players may choose, with the name of its group.
    let mut sounds: Vec<(Name, &str, String, f64)> = Vec::new();
    if let Some((rendition, codecs)) = known(&Name::Audio) {
        let (peak, _) = rendition.bitrates();
        let opus = stream.is_opus();
        if opus {
            // Made once somebody asks; what it will be is known.
            let aac = "mp4a.40.2".to_owned();
            sounds.push((
                Name::Aac,
                "aac",
                aac,
                f64::from(inver_media::audio::AAC_BITRATE),
            ));
        }
        sounds.push((Name::Audio, if opus { "opus" } else { "aac" }, codecs, peak));
    }
    for (name, group, ..) in &sounds {
        let channels = stream.sound_channels();
        line(
            &mut out,
            format_args!(
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{group}\",NAME=\"Sound\",DEFAULT=YES,\
                 AUTOSELECT=YES,CHANNELS=\"{channels}\",URI=\"{name}.m3u8\""
            ),
        );
    }
    let mut variants = 0;
    let pictures = stream
        .renditions
        .iter()
        .filter(|(_, rendition)| rendition.kind() == Kind::Video);
    for (name, _) in pictures {
        let Some((rendition, codecs)) = known(name) else {
            continue;
        };
        let (peak, average) = rendition.bitrates();
        let size = rendition.track().and_then(|track| track.size);
        let mut variant = |sound: Option<&(Name, &str, String, f64)>| {
            let (more, group, codecs) = match sound {
                Some((_, group, sound, bitrate)) => (
                    *bitrate,
                    format!(",AUDIO=\"{group}\""),
                    format!("{codecs},{sound}"),
                ),
                None => (0.0, String::new(), codecs.clone()),
            };
            out.push_str(&stream_info(peak + more, average + more, &codecs));
            if let Some((width, height)) = size {
                let _ = write!(out, ",RESOLUTION={width}x{height}");
            }
            if let Some(rate) = rendition.frame_rate() {
                let _ = write!(out, ",FRAME-RATE={rate:.3}");
            }
            line(&mut out, format_args!("{group}\n{name}.m3u8"));
            variants += 1;
        };
        if sounds.is_empty() {
            variant(None);
        }
        for sound in &sounds {
            variant(Some(sound));
        }
    }
    for (name, group, codecs, bitrate) in &sounds {
        out.push_str(&stream_info(*bitrate, *bitrate, codecs));
        line(&mut out, format_args!(",AUDIO=\"{group}\"\n{name}.m3u8"));
        variants += 1;
    }
    (variants > 0).then_some(out)
}

fn stream_info(peak: f64, average: f64, codecs: &str) -> String {
    let peak = (peak * HEADROOM).max(LEAST_BANDWIDTH) as u64;
    let average = average.max(1.0) as u64;
    let average = average.min(peak);
    format!("#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},CODECS=\"{codecs}\"")
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
    out.push('\n');
}
