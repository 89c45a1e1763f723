//! Payloads of synthetic frames: valid in what servers parse, noise in what only decoders read.
//!
//! VP8 after RFC 7741, H.264 after RFC 6184, Opus after RFC 7587. A frame is cut into packets of
//! about equal size, as libwebrtc does.

use std::sync::Arc;

use inver_media::Codec;

use crate::h264;
use crate::stamp;
use crate::synthetic::Frame;

/// Largest RTP payload: 1200 bytes of packet less header and extensions.
pub(crate) const MAX_PAYLOAD: usize = 1172;

/// Smallest frame: what its headers and a stamp need.
const SMALLEST: usize = 64;

/// Bytes of noise that payloads are filled from.
const NOISE: usize = 1 << 16;

/// Bytes of a sound packet: 64 kbit/s in 20 ms.
const SOUND: usize = 160;

/// Opus: CELT, full band, 20 ms, stereo, one frame (RFC 6716, 3.1).
const OPUS_TOC: u8 = 0xfc;

/// First bytes of a slice: macroblock 0, all slices intra, parameter set 0.
const IDR_SLICE: [u8; 3] = [0x65, 0x88, 0x84];

/// First bytes of a slice: macroblock 0, all slices predicted, parameter set 0.
const P_SLICE: [u8; 3] = [0x41, 0x9a, 0x9b];

/// Cuts frames of one publication into payloads.
#[derive(Debug)]
pub(crate) struct Packetizer {
    codec: Codec,
    size: (u32, u32),
    run: u32,
    picture: u16,
    /// Parameter sets, aggregated (STAP-A).
    parameters: Vec<u8>,
    /// Without zero bytes, so that no start code can come about.
    noise: Vec<u8>,
    rng: fastrand::Rng,
}

impl Packetizer {
    pub(crate) fn new(codec: Codec, size: (u32, u32), run: u32, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let noise = (0..NOISE).map(|_| rng.u8(1..=u8::MAX)).collect();
        let sps = h264::sps(size);
        let mut parameters = vec![0x78];
        for nal in [sps.as_slice(), &h264::PPS] {
            parameters.extend_from_slice(&(nal.len() as u16).to_be_bytes());
            parameters.extend_from_slice(nal);
        }
        Self {
            codec,
            size,
            run,
            picture: rng.u16(..) & 0x7fff,
            parameters,
            noise,
            rng,
        }
    }

    /// The payloads of a video frame, captured at `micros`.
    pub(crate) fn video(&mut self, frame: Frame, micros: u64) -> Vec<Arc<[u8]>> {
        let size = frame.size.max(SMALLEST);
        if self.codec == Codec::H264 {
            self.h264(size, frame.keyframe, micros)
        } else {
            self.vp8(size, frame.keyframe, micros)
        }
    }

    /// The payload of 20 ms of sound, captured at `micros`.
    pub(crate) fn audio(&mut self, micros: u64) -> Arc<[u8]> {
        self.payload(&[OPUS_TOC], SOUND, micros)
    }

    /// An H.264 slice whole, without start code or length, for protocols whose server cuts it: the
    /// time stands in it so often that every packet made of it carries it.
    pub(crate) fn slice(&mut self, frame: Frame, micros: u64) -> Vec<u8> {
        let mut slice = Vec::with_capacity(frame.size.max(SMALLEST));
        slice.extend_from_slice(if frame.keyframe { &IDR_SLICE } else { &P_SLICE });
        while slice.len() < frame.size.max(SMALLEST) {
            let left = frame.size.max(SMALLEST) - slice.len();
            let piece = self.payload(&[], left.min(stamp::SEARCH), micros);
            slice.extend_from_slice(&piece);
        }
        slice
    }

    /// The parameter sets of [`Self::slice`].
    pub(crate) fn sets(&self) -> (Vec<u8>, Vec<u8>) {
        (h264::sps(self.size), h264::PPS.to_vec())
    }

    fn vp8(&mut self, size: usize, keyframe: bool, micros: u64) -> Vec<Arc<[u8]>> {
        const DESCRIPTOR: usize = 4;
        self.picture = (self.picture + 1) & 0x7fff;
        let [high, low] = (0x8000 | self.picture).to_be_bytes();
        let header = self.vp8_header(size, keyframe);
        pieces(size, MAX_PAYLOAD - DESCRIPTOR)
            .enumerate()
            .map(|(index, piece)| {
                let start = if index == 0 { 0x10 } else { 0 };
                let mut front = vec![0x80 | start, 0x80, high, low];
                if index == 0 {
                    front.extend_from_slice(&header);
                }
                self.payload(&front, DESCRIPTOR + piece, micros)
            })
            .collect()
    }

    /// Frame tag, and start code and size of a keyframe (RFC 6386, 9.1).
    fn vp8_header(&self, size: usize, keyframe: bool) -> Vec<u8> {
        let first_partition = u32::try_from(size / 4).unwrap_or(0).min(0x7_ffff);
        let tag = u32::from(!keyframe) | 0x10 | (first_partition << 5);
        let mut header = tag.to_le_bytes()[..3].to_vec();
        if keyframe {
            header.extend_from_slice(&[0x9d, 0x01, 0x2a]);
            for side in [self.size.0, self.size.1] {
                header.extend_from_slice(&((side & 0x3fff) as u16).to_le_bytes());
            }
        }
        header
    }

    fn h264(&mut self, size: usize, keyframe: bool, micros: u64) -> Vec<Arc<[u8]>> {
        const FU_HEADER: usize = 2;
        let mut payloads = Vec::with_capacity(size / 1000 + 2);
        let slice = if keyframe { IDR_SLICE } else { P_SLICE };
        if keyframe {
            payloads.push(Arc::from(self.parameters.as_slice()));
        }
        if size <= MAX_PAYLOAD {
            payloads.push(self.payload(&slice, size, micros));
            return payloads;
        }
        // The NAL header is not repeated: the fragments' headers stand for it.
        let count = pieces(size - 1, MAX_PAYLOAD - FU_HEADER).count();
        for (index, piece) in pieces(size - 1, MAX_PAYLOAD - FU_HEADER).enumerate() {
            let indicator = (slice[0] & 0xe0) | 28;
            let start = if index == 0 { 0x80 } else { 0 };
            let end = if index + 1 == count { 0x40 } else { 0 };
            let mut front = vec![indicator, start | end | (slice[0] & 0x1f)];
            if index == 0 {
                front.extend_from_slice(&slice[1..]);
            }
            payloads.push(self.payload(&front, FU_HEADER + piece, micros));
        }
        payloads
    }

    /// `front`, the stamp where there is room for it, and noise up to `len` bytes.
    fn payload(&mut self, front: &[u8], len: usize, micros: u64) -> Arc<[u8]> {
        let len = len.max(front.len());
        let mut payload = Vec::with_capacity(len);
        payload.extend_from_slice(front);
        if payload.len() + stamp::LEN <= len {
            let at = payload.len();
            payload.resize(at + stamp::LEN, 0);
            stamp::write(&mut payload[at..], self.run, micros);
        }
        let rest = len - payload.len();
        let from = self.rng.usize(..=NOISE - rest.min(NOISE));
        payload.extend_from_slice(&self.noise[from..from + rest]);
        payload.into()
    }
}

/// Cuts `size` bytes into the fewest pieces of at most `most` bytes, differing by one byte.
fn pieces(size: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = size.div_ceil(most).max(1);
    (0..count).map(move |index| size / count + usize::from(index < size % count))
}

#[cfg(test)]
mod tests {
    use inver_media::codec::{inspect, vp8};

    use super::*;

    const SIZE: (u32, u32) = (1280, 720);
    const RUN: u32 = 0x123_4567;

    fn packetizer(codec: Codec) -> Packetizer {
        Packetizer::new(codec, SIZE, RUN, 5)
    }

    fn frame(keyframe: bool, size: usize) -> Frame {
        Frame { keyframe, size }
    }

    #[test]
    fn pieces_are_about_equal_and_add_up() {
        for size in [1, 1168, 1169, 10_416, 62_000] {
            let cut: Vec<usize> = pieces(size, 1168).collect();
            assert_eq!(cut.iter().sum::<usize>(), size);
            assert!(cut.iter().all(|piece| *piece <= 1168));
            let spread = cut.iter().max().zip(cut.iter().min());
            assert!(spread.is_some_and(|(most, least)| most - least <= 1));
        }
    }

    #[test]
    fn vp8_frames_are_what_parsers_expect() {
        let mut packetizer = packetizer(Codec::Vp8);
        for (keyframe, size) in [(true, 62_000), (false, 10_000), (false, 80)] {
            let payloads = packetizer.video(frame(keyframe, size), 42);
            let mut picture = None;
            let mut bytes = 0;
            for (index, payload) in payloads.iter().enumerate() {
                assert!(payload.len() <= MAX_PAYLOAD);
                let info = inspect(Codec::Vp8, payload);
                assert_eq!(info.frame_start, index == 0);
                assert_eq!(info.keyframe_start, keyframe && index == 0);
                assert_eq!(info.size, (keyframe && index == 0).then_some(SIZE));
                let descriptor = vp8::descriptor(payload).expect("a descriptor");
                let id = descriptor.picture_id.map(|(id, ..)| id);
                assert!(id.is_some() && (index == 0 || id == picture));
                picture = id;
                bytes += payload.len() - descriptor.len;
                assert_eq!(stamp::find(payload, RUN), Some(42));
            }
            assert_eq!(bytes, size);
        }
    }

    #[test]
    fn h264_frames_are_what_parsers_expect() {
        let mut packetizer = packetizer(Codec::H264);
        for (keyframe, size) in [(true, 62_000), (true, 900), (false, 10_000), (false, 80)] {
            let payloads = packetizer.video(frame(keyframe, size), 42);
            let parameters = usize::from(keyframe);
            let mut nal = Vec::new();
            for (index, payload) in payloads.iter().enumerate() {
                assert!(payload.len() <= MAX_PAYLOAD);
                let info = inspect(Codec::H264, payload);
                assert!(!info.reordered);
                assert_eq!(info.keyframe_start, keyframe && index <= parameters);
                if index < parameters {
                    assert_eq!(info.size, Some(SIZE));
                    continue;
                }
                assert_eq!(info.frame_start, index == parameters);
                assert_eq!(stamp::find(payload, RUN), Some(42));
                if payload[0] & 0x1f == 28 {
                    if nal.is_empty() {
                        nal.push((payload[0] & 0xe0) | (payload[1] & 0x1f));
                    }
                    assert_eq!(payload[1] & 0x80 != 0, index == parameters);
                    assert_eq!(payload[1] & 0x40 != 0, index + 1 == payloads.len());
                    nal.extend_from_slice(&payload[2..]);
                } else {
                    nal.extend_from_slice(payload);
                }
            }
            assert_eq!(nal.len(), size);
            assert_eq!(nal[0], if keyframe { 0x65 } else { 0x41 });
            assert!(!nal.contains(&0), "no start code, nothing to escape");
        }
    }

    #[test]
    fn any_part_of_a_slice_carries_the_time() {
        let slice = packetizer(Codec::H264).slice(frame(true, 10_000), 42);
        assert_eq!((slice.len(), slice[0]), (10_000, 0x65));
        assert!(!slice.contains(&0), "no start code, nothing to escape");
        for at in 0..9_000 {
            assert_eq!(stamp::find(&slice[at..], RUN), Some(42), "from {at}");
        }
    }

    #[test]
    fn sound_carries_the_time_too() {
        let payload = packetizer(Codec::Vp8).audio(77);
        assert_eq!(payload.len(), SOUND);
        assert_eq!(payload[0], OPUS_TOC);
        assert_eq!(stamp::find(&payload, RUN), Some(77));
    }
}
