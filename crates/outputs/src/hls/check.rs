//! Holds media playlists to the rules of RFC 8216bis that players rely on. For tests.

use std::collections::BTreeMap;

/// One segment, or what there is of it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Segment {
    uri: Option<String>,
    duration: f64,
    parts: Vec<(String, f64)>,
    discontinuity: bool,
    gap: bool,
    map: Option<String>,
    /// `EXT-X-PROGRAM-DATE-TIME`, in seconds since 1970.
    date: Option<f64>,
}

/// What a playlist says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Playlist {
    version: u32,
    target: u64,
    part_target: Option<f64>,
    control: BTreeMap<String, String>,
    first: u64,
    discontinuities: u64,
    skipped: usize,
    hint: Option<String>,
    segments: Vec<Segment>,
}

/// Reads a media playlist and checks it by itself.
///
/// # Errors
///
/// The rule that it breaks.
pub fn check(text: &str) -> Result<Playlist, String> {
    let playlist = read(text)?;
    playlist.alone()?;
    playlist.part_lengths()?;
    Ok(playlist)
}

/// As [`check`], of a source whose frames are unevenly apart: a part holds whole frames, so nobody
/// can hold its length to the part target.
///
/// # Errors
///
/// The rule that it breaks.
pub fn check_uneven(text: &str) -> Result<Playlist, String> {
    let playlist = read(text)?;
    playlist.alone()?;
    Ok(playlist)
}

fn read(text: &str) -> Result<Playlist, String> {
    let mut lines = text.lines();
    if lines.next() != Some("#EXTM3U") {
        return Err("the first line is not #EXTM3U".to_owned());
    }
    let mut playlist = Playlist::default();
    let mut segment = Segment::default();
    let mut map = None;
    for line in lines {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("no number: {line}"))
        };
        match tag {
            "#EXT-X-VERSION" => playlist.version = number()? as u32,
            "#EXT-X-TARGETDURATION" => playlist.target = number()?,
            "#EXT-X-MEDIA-SEQUENCE" => playlist.first = number()?,
            "#EXT-X-DISCONTINUITY-SEQUENCE" => playlist.discontinuities = number()?,
            "#EXT-X-SERVER-CONTROL" => playlist.control = attributes(value),
            "#EXT-X-PART-INF" => playlist.part_target = Some(seconds(value, "PART-TARGET")?),
            "#EXT-X-SKIP" => playlist.skipped = seconds(value, "SKIPPED-SEGMENTS")? as usize,
            "#EXT-X-MAP" => map = attributes(value).remove("URI"),
            "#EXT-X-DISCONTINUITY" => segment.discontinuity = true,
            "#EXT-X-GAP" => segment.gap = true,
            "#EXT-X-PROGRAM-DATE-TIME" => segment.date = Some(date(value)?),
            "#EXT-X-PART" => {
                let uri = attributes(value)
                    .remove("URI")
                    .ok_or("a part without URI")?;
                segment.parts.push((uri, seconds(value, "DURATION")?));
            }
            "#EXTINF" => {
                let value = value.trim_end_matches(',');
                segment.duration = value.parse().map_err(|_| format!("no time: {line}"))?;
            }
            "#EXT-X-PRELOAD-HINT" => playlist.hint = attributes(value).remove("URI"),
            "#EXT-X-RENDITION-REPORT" => {}
            _ if line.starts_with('#') => return Err(format!("not known: {line}")),
            _ => {
                segment.uri = Some(line.to_owned());
                segment.map.clone_from(&map);
                playlist.segments.push(std::mem::take(&mut segment));
            }
        }
    }
    if !segment.parts.is_empty() {
        segment.map = map;
        playlist.segments.push(segment);
    }
    Ok(playlist)
}

fn attributes(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut quoted = false;
    let parts = text.split(|character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    });
    for part in parts {
        if let Some((name, value)) = part.split_once('=') {
            found.insert(name.to_owned(), value.trim_matches('"').to_owned());
        }
    }
    found
}

fn seconds(text: &str, name: &str) -> Result<f64, String> {
    let value = attributes(text).remove(name).unwrap_or_default();
    value.parse().map_err(|_| format!("no {name} in {text}"))
}

fn date(text: &str) -> Result<f64, String> {
    use time::format_description::well_known::Rfc3339;
    let date = time::OffsetDateTime::parse(text, &Rfc3339).map_err(|error| error.to_string())?;
    Ok(date.unix_timestamp_nanos() as f64 / 1e9)
}

fn must(holds: bool, rule: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule()) }
}

impl Playlist {
    /// Names of the parts and segments, in order.
    pub fn files(&self) -> Vec<String> {
        let parts = |segment: &Segment| {
            let parts = segment.parts.iter().map(|(uri, _)| uri.clone());
            let parts: Vec<String> = parts.collect();
            parts
        };
        let all = self.segments.iter();
        all.flat_map(|segment| parts(segment).into_iter().chain(segment.uri.clone()))
            .collect()
    }

    /// Segments that are whole.
    pub fn whole(&self) -> usize {
        self.skipped
            + self
                .segments
                .iter()
                .filter(|segment| segment.uri.is_some())
                .count()
    }

    /// Segments without media, and segments at which clocks begin anew.
    pub fn marks(&self) -> (usize, usize) {
        let count = |of: fn(&Segment) -> bool| self.segments.iter().filter(|one| of(one)).count();
        (count(|one| one.gap), count(|one| one.discontinuity))
    }

    fn alone(&self) -> Result<(), String> {
        let least = if self.skipped > 0 { 9 } else { 6 };
        must(self.version >= least, || {
            format!("version {} below {least}", self.version)
        })?;
        must(self.target > 0, || "no target duration".to_owned())?;
        let control = |name: &str| -> Option<f64> { self.control.get(name)?.parse().ok() };
        let target = self.target as f64;
        if let Some(hold) = control("HOLD-BACK") {
            must(hold >= 3.0 * target, || {
                "HOLD-BACK below three target durations".to_owned()
            })?;
        }
        if let Some(skip) = control("CAN-SKIP-UNTIL") {
            must(skip >= 6.0 * target, || {
                "CAN-SKIP-UNTIL below six target durations".to_owned()
            })?;
        }
        must(
            self.skipped == 0 || control("CAN-SKIP-UNTIL").is_some(),
            || "segments are skipped that cannot be".to_owned(),
        )?;
        let has_parts = self
            .segments
            .iter()
            .any(|segment| !segment.parts.is_empty());
        must(!has_parts || self.part_target.is_some(), || {
            "parts without PART-INF".to_owned()
        })?;
        if let Some(part) = self.part_target {
            let hold = control("PART-HOLD-BACK").ok_or("parts without PART-HOLD-BACK")?;
            must(hold >= 2.0 * part, || {
                "PART-HOLD-BACK below two part targets".to_owned()
            })?;
        }
        for segment in &self.segments {
            self.segment(segment)?;
        }
        for pair in self.segments.windows(2) {
            must(pair[0].uri.is_some(), || {
                "a segment grows that is not the last".to_owned()
            })?;
            self.dates(&pair[0], &pair[1])?;
        }
        if let (Some(hint), Some(last)) = (&self.hint, self.files().last()) {
            must(!self.files().contains(hint), || {
                format!("{hint} is announced and there")
            })?;
            must(hint != last, || "the hint is old".to_owned())?;
        }
        Ok(())
    }

    fn segment(&self, segment: &Segment) -> Result<(), String> {
        let name = || segment.uri.clone().unwrap_or_else(|| "the last".to_owned());
        must(segment.map.is_some() || self.skipped > 0, || {
            format!("{} has no map", name())
        })?;
        must(segment.date.is_some(), || format!("{} has no date", name()))?;
        if segment.uri.is_some() {
            must(segment.duration.round() as u64 <= self.target, || {
                format!("{} lasts {} s", name(), segment.duration)
            })?;
        }
        if segment.uri.is_some() && !segment.parts.is_empty() {
            let sum: f64 = segment.parts.iter().map(|(_, duration)| duration).sum();
            must((sum - segment.duration).abs() < 0.001, || {
                format!("{} lasts {} and its parts {sum}", name(), segment.duration)
            })?;
        }
        Ok(())
    }

    fn part_lengths(&self) -> Result<(), String> {
        let Some(target) = self.part_target else {
            return Ok(());
        };
        for segment in &self.segments {
            for (index, (uri, duration)) in segment.parts.iter().enumerate() {
                must(*duration <= target + 1e-5, || {
                    format!("{uri} lasts {duration} of {target} s")
                })?;
                let last = segment.uri.is_some() && index + 1 == segment.parts.len();
                must(last || *duration >= 0.85 * target, || {
                    format!("{uri} lasts {duration}, less than 85 % of {target} s")
                })?;
            }
        }
        Ok(())
    }

    /// The date of a segment is that of the one before and its length, but for where clocks begin
    /// anew.
    fn dates(&self, before: &Segment, after: &Segment) -> Result<(), String> {
        let (Some(from), Some(to)) = (before.date, after.date) else {
            return Ok(());
        };
        must(to > from, || "dates go back".to_owned())?;
        let apart = (to - from - before.duration).abs();
        let gap = before.gap || after.gap || after.discontinuity;
        must(gap || apart < 0.05, || {
            format!("{:?} begins {apart} s off its date", after.uri)
        })
    }

    /// Checks what a player sees that asks again: `self` is the later playlist.
    ///
    /// # Errors
    ///
    /// The rule that the change breaks.
    pub fn follows(&self, earlier: &Self) -> Result<(), String> {
        must(self.target == earlier.target, || {
            "the target duration changed".to_owned()
        })?;
        must(self.first >= earlier.first, || {
            "segment numbers went back".to_owned()
        })?;
        let gone = (self.first - earlier.first) as usize;
        if self.skipped > 0 || earlier.skipped > 0 {
            return Ok(());
        }
        must(gone <= earlier.whole(), || {
            "segments were never told".to_owned()
        })?;
        let removed = earlier.segments.iter().take(gone);
        let marks = removed.filter(|segment| segment.discontinuity).count() as u64;
        must(
            self.discontinuities == earlier.discontinuities + marks,
            || "the discontinuity sequence does not count what is gone".to_owned(),
        )?;
        for (old, new) in earlier.segments.iter().skip(gone).zip(&self.segments) {
            must(old.date == new.date && old.map == new.map, || {
                format!("{:?} changed its date or map", old.uri)
            })?;
            if old.uri.is_some() {
                must(old.uri == new.uri && old.duration == new.duration, || {
                    format!("{:?} became {:?}", old.uri, new.uri)
                })?;
            }
            if !new.parts.is_empty() {
                must(new.parts.starts_with(&old.parts), || {
                    "parts changed".to_owned()
                })?;
            }
        }
        Ok(())
    }
}
