//! The numbers with which replies begin.

use std::fmt;

/// What a reply says; the client ends its session at all but the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 200.
    Ok,
    /// 201: the answer to a ping.
    Ping,
    /// 400: a command that is not understood or not due.
    BadRequest,
    /// 401: a command that needs a right answer to the challenge first, or a wrong answer.
    Unauthorized,
    /// 402: the client speaks a version of the protocol before 0.9.
    OldVersion,
    /// 403: another stream has the audio SSRC.
    AudioSsrcCollision,
    /// 404: another stream has the video SSRC.
    VideoSsrcCollision,
    /// 405: no such channel or not its key.
    InvalidStreamKey,
    /// 406: somebody else publishes on the channel.
    ChannelInUse,
    /// 407: the channel may not be published here.
    RegionUnsupported,
    /// 408: no media came for too long.
    NoMediaTimeout,
    /// 409: the content is blocked.
    GameBlocked,
    /// 410: the server ends the stream.
    ServerTerminate,
    /// 500: the server failed.
    Internal,
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 14] = [
        Self::Ok,
        Self::Ping,
        Self::BadRequest,
        Self::Unauthorized,
        Self::OldVersion,
        Self::AudioSsrcCollision,
        Self::VideoSsrcCollision,
        Self::InvalidStreamKey,
        Self::ChannelInUse,
        Self::RegionUnsupported,
        Self::NoMediaTimeout,
        Self::GameBlocked,
        Self::ServerTerminate,
        Self::Internal,
    ];

    /// The number.
    pub fn number(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::Ping => 201,
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::OldVersion => 402,
            Self::AudioSsrcCollision => 403,
            Self::VideoSsrcCollision => 404,
            Self::InvalidStreamKey => 405,
            Self::ChannelInUse => 406,
            Self::RegionUnsupported => 407,
            Self::NoMediaTimeout => 408,
            Self::GameBlocked => 409,
            Self::ServerTerminate => 410,
            Self::Internal => 500,
        }
    }

    /// What it means, in a few words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Ping => "pong",
            Self::BadRequest => "bad request",
            Self::Unauthorized => "unauthorized",
            Self::OldVersion => "protocol version 0.9 or later is needed",
            Self::AudioSsrcCollision => "the audio SSRC is in use",
            Self::VideoSsrcCollision => "the video SSRC is in use",
            Self::InvalidStreamKey => "invalid stream key",
            Self::ChannelInUse => "the channel is being published",
            Self::RegionUnsupported => "the channel cannot be published here",
            Self::NoMediaTimeout => "no media came",
            Self::GameBlocked => "the content is blocked",
            Self::ServerTerminate => "ended by the server",
            Self::Internal => "internal error",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number(), self.text())
    }
}
