//! Requests and the answers to them (RFC 2326, 4 to 7).

use std::fmt::Write as _;

use super::Error;

/// Header fields that a request has at most.
const MAX_FIELDS: usize = 64;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// Which methods there are; also keeps a session alive.
    Options,
    /// What there is to read.
    Describe,
    /// What will be published.
    Announce,
    /// How one track's packets go.
    Setup,
    /// Begin to send.
    Play,
    /// Send nothing for a while.
    Pause,
    /// Begin to take.
    Record,
    /// End.
    Teardown,
    /// Keeps a session alive.
    GetParameter,
    /// Keeps a session alive.
    SetParameter,
    /// Anything else.
    Other(String),
}

impl Method {
    fn parse(text: &str) -> Option<Self> {
        let token = !text.is_empty()
            && text.len() <= 32
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        token.then(|| match text {
            "OPTIONS" => Self::Options,
            "DESCRIBE" => Self::Describe,
            "ANNOUNCE" => Self::Announce,
            "SETUP" => Self::Setup,
            "PLAY" => Self::Play,
            "PAUSE" => Self::Pause,
            "RECORD" => Self::Record,
            "TEARDOWN" => Self::Teardown,
            "GET_PARAMETER" => Self::GetParameter,
            "SET_PARAMETER" => Self::SetParameter,
            other => Self::Other(other.to_owned()),
        })
    }

    /// The word on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(text) => text,
            known => known.word(),
        }
    }

    /// The word of a method that is known.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Announce => "ANNOUNCE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Pause => "PAUSE",
            Self::Record => "RECORD",
            Self::Teardown => "TEARDOWN",
            Self::GetParameter => "GET_PARAMETER",
            Self::SetParameter => "SET_PARAMETER",
            Self::Other(_) => "an unknown method",
        }
    }
}

/// A request of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub method: Method,
    /// Of what, as it came.
    pub uri: String,
    /// Names and values in the order in which they came.
    fields: Vec<(String, String)>,
    /// What stands behind the empty line.
    pub body: Vec<u8>,
}

impl Request {
    /// Reads the lines before the body, without the empty one.
    pub(super) fn parse(head: &str) -> Result<Self, Error> {
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        let method = words.next().and_then(Method::parse);
        let method = method.ok_or(Error::Malformed("the request begins with no method"))?;
        let uri = words.next().unwrap_or_default();
        match words.next() {
            Some("RTSP/1.0") if words.next().is_none() => {}
            Some(version) if version.starts_with("RTSP/") || version.starts_with("HTTP/") => {
                return Err(Error::Version);
            }
            Some(_) | None => {
                return Err(Error::Malformed(
                    "the request's first line is no request line",
                ));
            }
        }
        if uri.is_empty() || !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Malformed("the request names no URI"));
        }
        Ok(Self {
            method,
            uri: uri.to_owned(),
            fields: fields(lines)?,
            body: Vec::new(),
        })
    }

    /// The first value of a header field, by name without regard to case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut named = self.fields.iter();
        named
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The number that its answer repeats.
    pub fn cseq(&self) -> Option<u32> {
        self.field("CSeq")?.parse().ok()
    }
}

/// An answer of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Its code, 100 to 599.
    pub code: u16,
    /// What it says of the code.
    pub words: String,
    fields: Vec<(String, String)>,
    /// What stands behind the empty line.
    pub body: Vec<u8>,
}

impl Response {
    /// Reads the lines before the body, without the empty one.
    pub(super) fn parse(head: &str) -> Result<Self, Error> {
        let mut lines = head.lines();
        let first = lines.next().unwrap_or_default();
        let mut words = first.splitn(3, ' ');
        let version = words.next().unwrap_or_default();
        let code = words.next().and_then(|code| code.parse().ok());
        let code: u16 = code
            .filter(|code| version.starts_with("RTSP/1.") && (100..600).contains(code))
            .ok_or(Error::Malformed(
                "the answer's first line is no status line",
            ))?;
        Ok(Self {
            code,
            words: words.next().unwrap_or_default().trim().to_owned(),
            fields: fields(lines)?,
            body: Vec::new(),
        })
    }

    /// The first value of a header field, by name without regard to case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a header field, in the order in which they came.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = self.fields.iter();
        named
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The number of the request that it answers.
    pub fn cseq(&self) -> Option<u32> {
        self.field("CSeq")?.parse().ok()
    }
}

/// Names and values of header lines.
pub(super) fn fields<'a>(
    lines: impl Iterator<Item = &'a str>,
) -> Result<Vec<(String, String)>, Error> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with([' ', '\t']) {
            // A folded line goes on where the one before ended.
            let (_, value) = fields
                .last_mut()
                .ok_or(Error::Malformed("a header goes on before it began"))?;
            let _ = write!(value, " {}", line.trim());
            continue;
        }
        let (name, value) = line
            .split_once(':')
            .ok_or(Error::Malformed("a header line has no colon"))?;
        if fields.len() == MAX_FIELDS {
            return Err(Error::Malformed("there are too many header lines"));
        }
        if value.chars().any(|char| char.is_control() && char != '\t') {
            return Err(Error::Malformed("a header has control characters"));
        }
        fields.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(fields)
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok,
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 408
    TimedOut,
    /// 409
    Conflict,
    /// 413
    BodyTooLarge,
    /// 415
    UnsupportedMedia,
    /// 453
    NotEnoughBandwidth,
    /// 454
    SessionNotFound,
    /// 455
    NotInThisState,
    /// 459
    NoAggregate,
    /// 461
    UnsupportedTransport,
    /// 500
    Internal,
    /// 503
    Unavailable,
    /// 505
    Version,
    /// 551
    UnsupportedOption,
}

impl Status {
    /// The code.
    pub fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::TimedOut => 408,
            Self::Conflict => 409,
            Self::BodyTooLarge => 413,
            Self::UnsupportedMedia => 415,
            Self::NotEnoughBandwidth => 453,
            Self::SessionNotFound => 454,
            Self::NotInThisState => 455,
            Self::NoAggregate => 459,
            Self::UnsupportedTransport => 461,
            Self::Internal => 500,
            Self::Unavailable => 503,
            Self::Version => 505,
            Self::UnsupportedOption => 551,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::TimedOut => "Request Timeout",
            Self::Conflict => "Conflict",
            Self::BodyTooLarge => "Request Entity Too Large",
            Self::UnsupportedMedia => "Unsupported Media Type",
            Self::NotEnoughBandwidth => "Not Enough Bandwidth",
            Self::SessionNotFound => "Session Not Found",
            Self::NotInThisState => "Method Not Valid in This State",
            Self::NoAggregate => "Aggregate Operation Not Allowed",
            Self::UnsupportedTransport => "Unsupported Transport",
            Self::Internal => "Internal Server Error",
            Self::Unavailable => "Service Unavailable",
            Self::Version => "RTSP Version Not Supported",
            Self::UnsupportedOption => "Option Not Supported",
        }
    }
}

/// An answer being written.
#[derive(Debug)]
pub(super) struct Answer {
    text: String,
}

impl Answer {
    pub(super) fn new(status: Status, cseq: Option<u32>) -> Self {
        let mut text = format!("RTSP/1.0 {} {}\r\n", status.code(), status.words());
        if let Some(cseq) = cseq {
            let _ = write!(text, "CSeq: {cseq}\r\n");
        }
        text.push_str("Server: Inver\r\n");
        Self { text }
    }

    /// Adds a header line. Line ends in the value would begin another one; they are left out.
    pub(super) fn field(mut self, name: &str, value: &str) -> Self {
        let value: String = value.chars().filter(|char| !char.is_control()).collect();
        let _ = write!(self.text, "{name}: {value}\r\n");
        self
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.body("", "")
    }

    pub(super) fn body(mut self, content_type: &str, body: &str) -> Vec<u8> {
        if !body.is_empty() {
            let _ = write!(
                self.text,
                "Content-Type: {content_type}\r\nContent-Length: {}\r\n",
                body.len()
            );
        }
        self.text.push_str("\r\n");
        self.text.push_str(body);
        self.text.into_bytes()
    }
}
