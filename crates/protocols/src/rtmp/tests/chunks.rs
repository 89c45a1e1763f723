//! Chunks byte by byte: formats, timestamps, interleaving, bounds.

use super::super::Error;
use super::super::chunk_reader::{ChunkReader, MAX_CHUNK_STREAMS, MAX_COMMAND, MAX_MEDIA};
use super::super::chunk_writer::{CHUNK_SIZE, ChunkWriter, Outgoing};
use super::super::message::{Media, Message, each_media};
use inver_media::container::flv::TagType;

fn read_all(reader: &mut ChunkReader, bytes: &[u8]) -> Result<Vec<Message>, Error> {
    reader.push(bytes);
    let mut messages = Vec::new();
    while let Some(message) = reader.next_message()? {
        messages.push(message);
    }
    Ok(messages)
}

/// A full header of chunk stream `id` (below 64).
fn full(id: u8, time: u32, len: u32, message_type: u8) -> Vec<u8> {
    let mut out = vec![id];
    out.extend_from_slice(&time.min(0xff_ffff).to_be_bytes()[1..]);
    out.extend_from_slice(&len.to_be_bytes()[1..]);
    out.extend_from_slice(&[message_type, 1, 0, 0, 0]);
    if time >= 0xff_ffff {
        out.extend_from_slice(&time.to_be_bytes());
    }
    out
}

fn times(messages: &[Message]) -> Vec<u32> {
    messages.iter().map(|message| message.timestamp).collect()
}

fn media_reader() -> ChunkReader {
    let mut reader = ChunkReader::new();
    reader.allow_media(true);
    reader
}

#[test]
fn what_is_written_is_read_in_pieces_of_any_size() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut writer = ChunkWriter::new();
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for i in 0..120_u32 {
        if i == 40 {
            writer.announce_chunk_size(&mut bytes);
        }
        let (chunk_stream, message_type) = [(4, 8), (6, 9), (5, 18)][random.usize(..3)];
        // Now and then beyond 24 bits, back, and over the wrap.
        let timestamp = match i {
            60..70 => 0xff_fff0 + 5 * i,
            70..80 => u32::MAX - 400 + 5 * i,
            80..90 => (u32::MAX - 400).wrapping_add(9 * i),
            _ => 20 * i,
        };
        let len = match random.u8(..4) {
            0 => 0,
            1 => random.usize(..300),
            2 => 128 * random.usize(..20),
            _ if message_type == 18 => 60_000,
            _ => random.usize(..150_000),
        };
        let payload: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
        let message = Outgoing {
            chunk_stream,
            message_type,
            stream_id: 1,
            timestamp,
            payload: &payload,
        };
        writer.write(&mut bytes, message);
        expected.push(Message {
            message_type,
            stream_id: 1,
            timestamp,
            payload,
        });
    }
    for most in [1, 7, 130, 4096, usize::MAX] {
        let mut reader = media_reader();
        let mut rest = &bytes[..];
        let mut read = Vec::new();
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(most.min(rest.len()));
            read.extend(read_all(&mut reader, piece).expect("our own chunks"));
            rest = tail;
        }
        assert!(read == expected, "pieces of {most} bytes");
    }
}

#[test]
fn a_message_has_the_bytes_of_the_specification() {
    let mut writer = ChunkWriter::new();
    let mut bytes = Vec::new();
    let payload = [7; 130];
    let mut message = Outgoing {
        chunk_stream: 4,
        message_type: 8,
        stream_id: 1,
        timestamp: 1000,
        payload: &payload,
    };
    writer.write(&mut bytes, message);
    let expected = [
        &[0x04, 0, 0x03, 0xe8, 0, 0, 130, 8, 1, 0, 0, 0][..],
        &[7; 128],
        &[0xc4],
        &[7; 2],
    ]
    .concat();
    assert_eq!(bytes, expected);
    bytes.clear();
    message.timestamp = 1020;
    message.payload = &[1];
    writer.write(&mut bytes, message);
    assert_eq!(
        bytes,
        [0x44, 0, 0, 20, 0, 0, 1, 8, 1],
        "a step without stream"
    );
    bytes.clear();
    message.timestamp = 0x0100_0000;
    message.stream_id = 2;
    writer.write(&mut bytes, message);
    let expected = [
        0x04, 0xff, 0xff, 0xff, 0, 0, 1, 8, 2, 0, 0, 0, 1, 0, 0, 0, 1,
    ];
    assert_eq!(bytes, expected, "the timestamp follows in four bytes");
    bytes.clear();
    writer.announce_chunk_size(&mut bytes);
    assert_eq!(bytes[12..], CHUNK_SIZE.to_be_bytes());
}

#[test]
fn steps_repeat_and_full_headers_set_the_time() {
    let mut bytes = full(4, 1_000_000, 1, 8);
    bytes.push(1);
    bytes.extend([0x44, 0, 0, 20, 0, 0, 1, 8, 2]); // a step of 20
    bytes.extend([0x84, 0, 0, 23, 3]); // a step of 23, the length repeats
    bytes.extend([0xc4, 4]); // all repeats
    bytes.extend(full(4, 5, 2, 8));
    bytes.extend([5, 5]);
    let read = read_all(&mut media_reader(), &bytes).expect("chunks");
    assert_eq!(
        times(&read),
        [1_000_000, 1_000_020, 1_000_043, 1_000_066, 5]
    );
    assert_eq!(read[3].payload, [4]);
}

#[test]
fn without_a_step_a_small_timestamp_repeats_and_a_large_one_stays() {
    for (time, next) in [(23, [46, 69]), (90_000, [90_000, 90_000])] {
        let mut bytes = full(4, time, 1, 8);
        bytes.extend([1, 0xc4, 2, 0xc4, 3]);
        let read = read_all(&mut media_reader(), &bytes).expect("chunks");
        assert_eq!(times(&read), [time, next[0], next[1]]);
    }
}

#[test]
fn extended_timestamps_may_repeat_inside_a_message_or_not() {
    let time = 0x0123_4567_u32;
    let payload: Vec<u8> = (0..=255).chain(0..44).collect();
    for repeats in [true, false] {
        let mut bytes = full(6, time, 300, 9);
        for (i, piece) in payload.chunks(128).enumerate() {
            if i > 0 {
                bytes.push(0xc6);
                if repeats {
                    bytes.extend(time.to_be_bytes());
                }
            }
            bytes.extend_from_slice(piece);
        }
        // The next message begins without header: it has the extension in any case.
        bytes.push(0xc6);
        bytes.extend(time.to_be_bytes());
        for size in [1, 1000] {
            let mut reader = media_reader();
            let mut read = Vec::new();
            for piece in bytes.chunks(size) {
                read.extend(read_all(&mut reader, piece).expect("chunks"));
            }
            assert_eq!(read.len(), 1, "{repeats}");
            assert_eq!(read[0].timestamp, time);
            assert_eq!(read[0].payload, payload);
        }
    }
}

#[test]
fn messages_of_several_chunk_streams_interleave() {
    let mut bytes = full(4, 1, 200, 8);
    bytes.extend([1; 128]);
    bytes.extend(full(6, 2, 130, 9));
    bytes.extend([2; 128]);
    bytes.push(0xc4);
    bytes.extend([1; 72]);
    bytes.push(0xc6);
    bytes.extend([2; 2]);
    let read = read_all(&mut media_reader(), &bytes).expect("chunks");
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].payload, [1; 200]);
    assert_eq!(read[1].payload, [2; 130]);
}

#[test]
fn long_ids_of_chunk_streams_are_read() {
    for (basic, again) in [
        (vec![0x00, 0], vec![0xc0, 0]),
        (vec![0x01, 0xff, 0xff], vec![0xc1, 0xff, 0xff]),
    ] {
        let mut bytes = basic;
        bytes.extend(&full(3, 0, 130, 8)[1..]);
        bytes.extend([9; 128]);
        bytes.extend(again);
        bytes.extend([9; 2]);
        let read = read_all(&mut media_reader(), &bytes).expect("chunks");
        assert_eq!(read[0].payload, [9; 130]);
    }
}

#[test]
fn an_abort_drops_what_had_begun() {
    let mut bytes = full(4, 1, 200, 8);
    bytes.extend([1; 128]);
    bytes.extend(full(2, 0, 4, 2));
    bytes.extend([0, 0, 0, 4]);
    bytes.extend(full(4, 9, 1, 8));
    bytes.push(7);
    let read = read_all(&mut media_reader(), &bytes).expect("chunks");
    assert_eq!((times(&read), &read[0].payload[..]), (vec![9], &[7][..]));
}

#[test]
fn chunk_sizes_are_checked_and_large_ones_taken() {
    for (size, expected) in [
        (0_u32, Err(Error::ChunkSize(0))),
        (0x8000_0000, Err(Error::ChunkSize(0x8000_0000))),
        (1, Ok(())),
        (0x7fff_ffff, Ok(())),
    ] {
        let mut bytes = full(2, 0, 4, 1);
        bytes.extend(size.to_be_bytes());
        let read = read_all(&mut media_reader(), &bytes);
        assert_eq!(read.map(|_| ()), expected, "{size}");
    }
    let mut short = full(2, 0, 2, 1);
    short.extend([0, 1]);
    let expected = Error::ShortControl {
        message_type: 1,
        len: 2,
    };
    assert_eq!(read_all(&mut media_reader(), &short), Err(expected));
}

#[test]
fn declared_lengths_are_bounded_before_and_after_publishing() {
    let too_long = |len: usize, max: usize| {
        Err(Error::LongMessage {
            message_type: 9,
            len,
            max,
        })
    };
    let header = |len: usize| full(6, 0, u32::try_from(len).expect("24 bits"), 9);
    let before = read_all(&mut ChunkReader::new(), &header(MAX_COMMAND + 1));
    assert_eq!(before, too_long(MAX_COMMAND + 1, MAX_COMMAND));
    let after = read_all(&mut media_reader(), &header(MAX_MEDIA + 1));
    assert_eq!(after, too_long(MAX_MEDIA + 1, MAX_MEDIA));
    assert_eq!(
        read_all(&mut media_reader(), &header(MAX_MEDIA)),
        Ok(vec![])
    );
    // A command stays short even then.
    let command = full(3, 0, 70_000, 20);
    assert!(read_all(&mut media_reader(), &command).is_err());
}

#[test]
fn chunk_streams_and_unfinished_bytes_are_bounded() {
    let mut reader = media_reader();
    for id in 0..=64_u8 {
        let mut bytes = vec![0, id];
        bytes.extend(&full(3, 0, 1, 8)[1..]);
        bytes.push(0);
        let read = read_all(&mut reader, &bytes);
        if usize::from(id) < MAX_CHUNK_STREAMS {
            assert_eq!(read.map(|read| read.len()), Ok(1));
        } else {
            assert_eq!(read, Err(Error::ManyChunkStreams(MAX_CHUNK_STREAMS)));
        }
    }
    let mut reader = ChunkReader::new();
    let mut size = full(2, 0, 4, 1);
    size.extend(60_000_u32.to_be_bytes());
    read_all(&mut reader, &size).expect("a chunk size");
    let mut results = Vec::new();
    for id in 3..6 {
        let mut bytes = full(id, 0, 65_536, 20);
        bytes.extend(vec![0; 60_000]);
        results.push(read_all(&mut reader, &bytes).map(|read| read.len()));
    }
    let last = Err(Error::ManyUnfinished(2 * MAX_COMMAND));
    assert_eq!(results, [Ok(0), Ok(0), last]);
}

#[test]
fn missing_first_headers_and_interrupted_messages_are_named() {
    for format in [0x80, 0xc0] {
        let read = read_all(&mut media_reader(), &[format | 5, 0, 0, 0]);
        assert_eq!(read, Err(Error::NoFirstHeader(5)));
    }
    let mut bytes = full(4, 0, 200, 8);
    bytes.extend([0; 128]);
    bytes.extend(full(4, 0, 1, 8));
    let expected = Error::Interrupted {
        chunk_stream: 4,
        missing: 72,
    };
    assert_eq!(read_all(&mut media_reader(), &bytes), Err(expected));
}

#[test]
fn an_aggregate_holds_many_tags() {
    let tag = |tag_type: u8, time: u32, body: &[u8]| {
        let mut out = vec![tag_type, 0, 0, u8::try_from(body.len()).expect("short")];
        out.extend_from_slice(&time.to_be_bytes()[1..]);
        out.push(time.to_be_bytes()[0]);
        out.extend_from_slice(&[0, 0, 0]);
        out.extend_from_slice(body);
        out.extend_from_slice(&[0, 0, 0, 11]);
        out
    };
    let mut payload = tag(9, 0x0100_0005, &[1, 2]);
    payload.extend(tag(77, 0x0100_0006, &[3]));
    payload.extend(tag(8, 0x0100_0025, &[4]));
    payload.extend([9, 0, 0, 9, 0, 0]); // cut
    let message = Message {
        message_type: 22,
        stream_id: 1,
        timestamp: 5000,
        payload,
    };
    let mut media = Vec::new();
    each_media(message, |each| media.push(each));
    let expected = [
        Media {
            tag_type: TagType::Video,
            timestamp: 5000,
            body: vec![1, 2],
        },
        Media {
            tag_type: TagType::Audio,
            timestamp: 5032,
            body: vec![4],
        },
    ];
    assert_eq!(media, expected);
    let flood = Message {
        message_type: 22,
        stream_id: 1,
        timestamp: 0,
        payload: tag(8, 0, &[]).repeat(5000),
    };
    let mut count = 0;
    each_media(flood, |_| count += 1);
    assert_eq!(count, 1024);
}
