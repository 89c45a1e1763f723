//! Scenarios on virtual time.

mod authorization;
mod client;
mod descriptions;
mod hostile;
mod sessions;

use std::time::Instant;

use super::{Event, Output, Ports, Server, Settings};

/// A server with one client, and the time that both share.
struct Scene {
    server: Server,
    now: Instant,
    events: Vec<Event>,
    cseq: u32,
}

impl Scene {
    fn new(private: bool, udp: bool) -> Self {
        let settings = Settings {
            udp: udp.then_some(Ports {
                rtp: 8000,
                rtcp: 8001,
            }),
            private,
            seed: [7; 32],
        };
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let now = Instant::now();
        Self {
            server: Server::new(settings, now),
            now,
            events: Vec::new(),
            cseq: 0,
        }
    }

    /// What the server sends now; events are kept.
    fn sent(&mut self) -> Vec<u8> {
        let mut sent = Vec::new();
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Send(bytes) => sent.extend(bytes),
                Output::Event(event) => self.events.push(event),
            }
        }
        sent
    }

    fn answer(&mut self) -> String {
        String::from_utf8(self.sent()).expect("answers are text")
    }

    /// Sends a request; gives the answer, empty where a decision is waited for.
    fn ask(&mut self, method: &str, uri: &str, fields: &[&str], body: &str) -> String {
        self.cseq += 1;
        let mut request = format!("{method} {uri} RTSP/1.0\r\nCSeq: {}\r\n", self.cseq);
        for field in fields {
            request.push_str(field);
            request.push_str("\r\n");
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body);
        let taken = self.server.handle_input(request.as_bytes(), self.now);
        taken.expect("the request is well");
        let answer = self.answer();
        if !answer.is_empty() {
            let cseq = format!("CSeq: {}\r\n", self.cseq);
            assert!(answer.contains(&cseq), "{answer}");
        }
        answer
    }
}

/// A description with H264 and AAC, as FFmpeg writes it.
const ANNOUNCED: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nt=0 0\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LAHtkAoC/5cBEAAAMAAQAAAwA8DxYuSA==,aMuDyyA=; profile-level-id=42C01E\r\n\
    a=control:streamid=0\r\n\
    m=audio 0 RTP/AVP 97\r\nb=AS:128\r\na=rtpmap:97 MPEG4-GENERIC/44100/2\r\n\
    a=fmtp:97 profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3; config=121056E500\r\n\
    a=control:streamid=1\r\n";
