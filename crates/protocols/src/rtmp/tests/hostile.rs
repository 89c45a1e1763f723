//! Recorded sessions, mutated, and floods: no panic, no growth.

use inver_media::container::flv::TagType;

use super::super::*;
use super::sessions::Pair;

/// What a publishing client sends in a session that works.
fn recorded() -> (Vec<u8>, std::time::Instant) {
    let mut pair = Pair::started(Purpose::Publish, 1000);
    pair.client
        .send(TagType::Data, 0, b"\x02\0\x0aonMetaData\x05");
    for i in 0..20 {
        pair.client.send(TagType::Video, 40 * i, &[0x17; 700]);
        pair.client.send(TagType::Audio, 40 * i, &[0xaf; 90]);
    }
    pair.client.finish();
    pair.run();
    (pair.sent, pair.now)
}

/// Feeds a server that accepts everything; gives the most that it wanted to send and hold.
fn feed(bytes: &[u8], piece: usize, now: std::time::Instant) -> Result<usize, Error> {
    let mut server = Server::new(now);
    let mut most = 0;
    for piece in bytes.chunks(piece.max(1)) {
        server.handle_input(piece, now)?;
        loop {
            let mut requested = false;
            most = most.max(server.queued());
            while let Some(output) = server.poll_output() {
                match output {
                    Output::Event(
                        ServerEvent::PublishRequested(_) | ServerEvent::PlayRequested(_),
                    ) => requested = true,
                    Output::Send(_) | Output::Event(_) => {}
                }
            }
            if !requested {
                break;
            }
            server.accept(now)?;
        }
    }
    Ok(most)
}

fn mutated(valid: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    // Behind the handshake, or nothing but random bytes would change.
    let first = if random.u8(..8) == 0 { 0 } else { 3073 };
    for _ in 0..random.usize(1..8) {
        let at = random.usize(first..bytes.len());
        match random.u8(..6) {
            0 => bytes.truncate(at.max(first + 1)),
            1 => bytes.insert(at, random.u8(..)),
            2 => {
                let end = (at + random.usize(..200)).min(bytes.len());
                bytes.drain(at..end);
                bytes.push(0);
            }
            3 => bytes[at] = random.u8(..),
            4 => bytes[at] = [0, 0xff, 0xc3, 0x7f][random.usize(..4)],
            _ => bytes[at] ^= 1 << random.u8(..8),
        }
    }
    bytes
}

#[test]
fn mutated_sessions_never_panic_and_answers_stay_small() {
    let (valid, now) = recorded();
    assert!(feed(&valid, 500, now).is_ok());
    let mut random = fastrand::Rng::with_seed(42);
    let mut errors = 0;
    for _ in 0..4000 {
        let bytes = mutated(&valid, &mut random);
        match feed(&bytes, random.usize(1..4000), now) {
            // Answers are bounded by what they answer: the longest is that to connect.
            Ok(most) => assert!(most <= 3073 + 2 * bytes.len(), "{most}"),
            Err(_) => errors += 1,
        }
    }
    assert!(errors > 1000, "mutations that nobody notices test nothing");
}

#[test]
fn random_bytes_behind_a_handshake_never_panic() {
    let (valid, now) = recorded();
    let mut random = fastrand::Rng::with_seed(43);
    for _ in 0..2000 {
        let mut bytes = valid[..3073].to_vec();
        let len = random.usize(..3000);
        bytes.extend((0..len).map(|_| random.u8(..)));
        let _ = feed(&bytes, 700, now);
    }
}

#[test]
fn a_mutated_server_never_panics_a_client() {
    let mut pair = Pair::new(Purpose::Play, 1000);
    let mut server = Server::new(pair.now);
    let mut bytes = Vec::new();
    // The client's side of a session, to make a server say everything it says.
    pair.run();
    server.handle_input(&pair.sent, pair.now).expect("our own");
    server.accept(pair.now).expect("nothing is held");
    for i in 0..20 {
        server.send(TagType::Video, 40 * i, &[7; 700]);
    }
    server.finish();
    while let Some(output) = server.poll_output() {
        if let Output::Send(sent) = output {
            bytes.extend(sent);
        }
    }
    let target = Target::parse("rtmp://h/live/x").expect("an address");
    let mut random = fastrand::Rng::with_seed(44);
    let mut played = 0;
    for round in 0..3000 {
        let input = match round {
            0 => bytes.clone(),
            _ => mutated(&bytes, &mut random),
        };
        let config = ClientConfig {
            address: target.address.clone(),
            purpose: Purpose::Play,
            flash_version: String::new(),
            enhanced: round % 2 == 0,
        };
        let mut client = Client::new(config, pair.now);
        for piece in input.chunks(random.usize(1..2000)) {
            if client.handle_input(piece, pair.now).is_err() {
                break;
            }
            assert!(client.queued() <= 3073 + 2048 + 2 * input.len());
        }
        while let Some(output) = client.poll_output() {
            if matches!(output, Output::Event(ClientEvent::Media(_))) {
                played += 1;
            }
        }
    }
    assert!(played > 20, "the unmutated session at least plays");
}

#[test]
fn http_and_silence_are_told_apart_at_once() {
    let now = Pair::new(Purpose::Play, 1).now;
    let error = Server::new(now)
        .handle_input(b"GET / HTTP/1.1\r\n", now)
        .expect_err("not RTMP");
    assert!(error.to_string().contains("HTTP"), "{error}");
}

#[test]
fn commands_out_of_order_are_named() {
    let now = Pair::new(Purpose::Play, 1).now;
    let mut bytes = vec![3];
    bytes.resize(1 + 2 * 1536, 0);
    let command = b"\x02\0\x07publish\0\0\0\0\0\0\0\0\0\x05\x02\0\x01x";
    bytes.extend([3, 0, 0, 0, 0, 0]);
    bytes.push(u8::try_from(command.len()).expect("short"));
    bytes.extend([20, 0, 0, 0, 0]);
    bytes.extend(command);
    let result = Server::new(now).handle_input(&bytes, now);
    assert_eq!(result, Err(Error::Order("publish")));
}
