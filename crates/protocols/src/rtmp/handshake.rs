//! The exchange of random bytes with which a connection begins (RTMP 1.0, 5.2).
//!
//! What a client echoes is not compared: many encoders send something else.

use super::digest;
use super::error::Error;

const VERSION: u8 = 3;
/// Length of every block but the version.
pub(super) const RANDOM: usize = 1536;

/// One end of the exchange.
#[derive(Debug)]
pub(super) struct Handshake {
    role: Role,
    /// What came of the block that is awaited; never longer than it.
    buffer: Vec<u8>,
    greeted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Server,
    Client,
}

impl Handshake {
    pub(super) fn server() -> Self {
        Self {
            role: Role::Server,
            buffer: Vec::new(),
            greeted: false,
        }
    }

    /// Begins as a client: appends what opens the exchange.
    pub(super) fn client(out: &mut Vec<u8>) -> Self {
        out.push(VERSION);
        out.extend_from_slice(&random_block());
        Self {
            role: Role::Client,
            buffer: Vec::new(),
            greeted: false,
        }
    }

    /// Takes bytes from the front of `input` and appends answers; true when the exchange is over
    /// and the rest of `input` belongs to what follows.
    pub(super) fn take(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        if !self.greeted {
            if self.buffer.is_empty()
                && let Some(&version) = input.first()
            {
                check_version(version)?;
            }
            if !self.fill(input, 1 + RANDOM) {
                return Ok(false);
            }
            self.greeted = true;
            let block = self.buffer.get(1..).and_then(|rest| rest.first_chunk());
            if let Some(block) = block {
                self.greet(block, out);
            }
            self.buffer.clear();
        }
        Ok(self.fill(input, RANDOM))
    }

    fn fill(&mut self, input: &mut &[u8], len: usize) -> bool {
        let take = input.len().min(len - self.buffer.len());
        let (taken, rest) = input.split_at(take);
        self.buffer.extend_from_slice(taken);
        *input = rest;
        self.buffer.len() == len
    }

    fn greet(&self, theirs: &[u8; RANDOM], out: &mut Vec<u8>) {
        if self.role == Role::Client {
            out.extend_from_slice(theirs);
            return;
        }
        out.push(VERSION);
        let mut ours = random_block();
        let mut answer = *theirs;
        // A client that has a digest says its version; one that has none says 0.
        if theirs[4..8] != [0; 4]
            && let Some((client_digest, scheme)) = digest::of_client(theirs)
        {
            // Any version from 3 on tells the client that there is a digest.
            ours[4..8].copy_from_slice(&[4, 5, 0, 1]);
            digest::sign_block(&mut ours, scheme);
            answer = random_block();
            digest::sign_answer(&mut answer, &client_digest);
        }
        out.extend_from_slice(&ours);
        out.extend_from_slice(&answer);
    }
}

fn check_version(version: u8) -> Result<(), Error> {
    match version {
        VERSION => Ok(()),
        0x16 => Err(Error::NotRtmp(
            "this is TLS: use rtmps:// and its port, or rtmp:// here",
        )),
        b'A'..=b'Z' => Err(Error::NotRtmp(
            "this looks like HTTP or RTSP: use the port of that protocol",
        )),
        version => Err(Error::Version(version)),
    }
}

/// Time 0, version 0, then random bytes.
fn random_block() -> [u8; RANDOM] {
    let mut block = [0; RANDOM];
    if let Some(random) = block.get_mut(8..) {
        // Nothing depends on these bytes; without a source of chance they stay zero.
        let _ = aws_lc_rs::rand::fill(random);
    }
    block
}
