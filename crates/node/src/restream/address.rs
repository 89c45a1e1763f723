//! Where a push goes and a pull comes from: parsed, and shown without what is secret.

use inver_proto::ParticipantId;
use inver_protocols::{rtmp, rtsp, srt};

use super::WhepTarget;

/// Longest address that is read.
const MAX_ADDRESS: usize = 2048;

/// Longest text of the other end that is shown.
const MAX_SAID: usize = 300;

/// Kinds of files that can be pulled.
const FILES: [&str; 2] = ["ts", "flv"];

/// The other end of a push or pull. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub enum Address {
    /// RTMP, plain or over TLS.
    Rtmp(rtmp::Target),
    /// RTSP, plain or over TLS; only pulled.
    Rtsp(Box<rtsp::Target>),
    /// SRT; this end calls.
    Srt(Box<srt::Target>),
    /// WHEP; only pulled.
    Whep(Box<WhepTarget>),
    /// A file in the folder for such files, by its path below it.
    File(String),
}

impl Address {
    /// Parses the address of a push.
    ///
    /// # Errors
    /// Says what is wrong and what would be right, without repeating the address.
    pub fn of_push(text: &str) -> Result<Self, String> {
        match Self::parse(text)? {
            Self::Rtsp(_) | Self::Whep(_) | Self::File(_) => {
                Err("a push goes to rtmp://, rtmps:// or srt://".to_owned())
            }
            address @ (Self::Rtmp(_) | Self::Srt(_)) => Ok(address),
        }
    }

    /// Parses the address of a pull.
    ///
    /// # Errors
    /// Says what is wrong and what would be right, without repeating the address.
    pub fn of_pull(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() > MAX_ADDRESS || text.chars().any(char::is_control) {
            return Err(format!(
                "the url is longer than {MAX_ADDRESS} bytes or has control characters"
            ));
        }
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        match scheme.to_ascii_lowercase().as_str() {
            "rtmp" | "rtmps" => rtmp::Target::parse(text)
                .map(Self::Rtmp)
                .map_err(|error| error.to_string()),
            "rtsp" | "rtsps" => rtsp::Target::parse(text)
                .map(|target| Self::Rtsp(Box::new(target)))
                .map_err(|error| error.to_string()),
            "srt" => srt::Target::parse(text)
                .map(|target| Self::Srt(Box::new(target)))
                .map_err(|error| error.to_string()),
            "http" | "https" => WhepTarget::parse(text).map(|target| Self::Whep(Box::new(target))),
            "file" => file(rest).map(Self::File),
            _ => Err(
                "the url begins with none of rtmp://, rtmps://, srt:// and, for pulls, rtsp://, \
                 rtsps://, https:// (WHEP) and file:"
                    .to_owned(),
            ),
        }
    }

    /// Host and port, where it is on the network.
    pub fn host(&self) -> Option<(&str, u16)> {
        match self {
            Self::Rtmp(target) => Some((&target.host, target.port)),
            Self::Rtsp(target) => Some((&target.host, target.port)),
            Self::Srt(target) => Some((&target.host, target.port)),
            Self::Whep(target) => Some((target.host(), target.port())),
            Self::File(_) => None,
        }
    }

    /// The address as everybody may see it: the stream of RTMP, paths of RTSP and WHEP, and the query
    /// of SRT may be keys.
    pub fn shown(&self) -> String {
        match self {
            Self::Rtmp(target) => {
                let scheme = if target.tls { "rtmps" } else { "rtmp" };
                let (host, port) = (bracketed(&target.host), target.port);
                let app = target.address.application();
                format!("{scheme}://{host}:{port}/{app}/***")
            }
            Self::Rtsp(target) => {
                let scheme = if target.tls { "rtsps" } else { "rtsp" };
                let path = if target.path().len() > 1 { "/***" } else { "" };
                format!(
                    "{scheme}://{}:{}{path}",
                    bracketed(&target.host),
                    target.port
                )
            }
            Self::Srt(target) => {
                let asks =
                    !target.config.stream_id.is_empty() || target.config.passphrase.is_some();
                let query = if asks { "?***" } else { "" };
                format!("srt://{}:{}{query}", bracketed(&target.host), target.port)
            }
            Self::Whep(target) => target.shown(),
            Self::File(path) => format!("file:{path}"),
        }
    }

    /// A text of the other end, which may repeat what it was told, without what is secret.
    pub fn hide(&self, text: &str) -> String {
        let secrets: Vec<&str> = match self {
            Self::Rtmp(target) => {
                let address = &target.address;
                vec![&address.name, address.stream()]
            }
            Self::Rtsp(target) => {
                let path = target.path();
                let bare = path.split_once('?').map_or(path, |(bare, _)| bare);
                let mut secrets = vec![path, bare, bare.trim_matches('/')];
                if let Some(login) = &target.login {
                    secrets.extend([login.password.as_str(), login.user.as_str()]);
                }
                // A word of one letter is no secret, and stands everywhere.
                secrets.retain(|secret| secret.len() > 1);
                secrets
            }
            Self::Srt(target) => {
                let config = &target.config;
                let passphrase = config.passphrase.as_deref().unwrap_or_default();
                vec![&config.stream_id, passphrase]
            }
            Self::Whep(target) => target.secrets(),
            Self::File(_) => Vec::new(),
        };
        let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
        for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "***");
        }
        // Only now, or a part of a secret might be left at the end.
        text.chars().take(MAX_SAID).collect()
    }

    /// The name under which a pull publishes, made from where it comes from.
    pub fn participant(&self) -> ParticipantId {
        let source: &str = match self {
            Self::Rtmp(target) => &target.host,
            Self::Rtsp(target) => &target.host,
            Self::Srt(target) => &target.host,
            Self::Whep(target) => target.host().trim_matches(['[', ']']),
            Self::File(path) => path,
        };
        let letters = source.chars().map(|letter| match letter {
            letter if letter.is_ascii_alphanumeric() => letter,
            _ => '-',
        });
        let name: String = "pull-".chars().chain(letters).take(60).collect();
        name.parse().unwrap_or_else(|_| ParticipantId::main())
    }
}

/// IPv6 in brackets.
fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// A path of plain names below the folder, whatever kind of file it names.
pub(crate) fn file_below(rest: &str) -> Result<String, String> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\\');
    if !path.split('/').all(plain) {
        return Err(
            "a file is named by its path below the folder of restream.files_dir, such as \
             file:loop.ts; no part of it is empty or begins with a dot"
                .to_owned(),
        );
    }
    Ok(path.to_owned())
}

/// The path of a film below the folder.
fn file(rest: &str) -> Result<String, String> {
    let path = file_below(rest)?;
    let kind = path.rsplit_once('.').map(|(_, kind)| kind);
    if !kind.is_some_and(|kind| FILES.iter().any(|known| known.eq_ignore_ascii_case(kind))) {
        return Err(
            "the file's name ends neither in .ts (MPEG transport stream) nor in .flv; other kinds \
             are not read (ffmpeg -i INPUT -c copy loop.ts makes one)"
                .to_owned(),
        );
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_no_secret() {
        for (url, shown) in [
            (
                "rtmps://live.example.com/app/geheim?token=geheim",
                "rtmps://live.example.com:443/app/***",
            ),
            (
                "rtmp://[::1]:1936/live/geheim",
                "rtmp://[::1]:1936/live/***",
            ),
            ("rtmp://h/app?key=geheim/geheim", "rtmp://h:1935/app/***"),
            (
                "srt://h:9000?streamid=geheim&passphrase=geheimgeheim",
                "srt://h:9000?***",
            ),
            ("srt://h:9000", "srt://h:9000"),
            (
                "rtsp://admin:geheim@cam/geheim?x=1&transport=udp",
                "rtsp://cam:554/***",
            ),
            ("rtsps://u:geheim@[::1]:8555/", "rtsps://[::1]:8555"),
            ("https://:geheim@h/whep/room?x=geheim", "https://h:443/***"),
        ] {
            let Ok(address) = Address::of_pull(url) else {
                // Not an address: nothing to show.
                continue;
            };
            assert_eq!(address.shown(), shown, "{url}");
            assert!(!format!("{address:?}").contains("geheim"), "{url}");
        }
    }

    #[test]
    fn files_stay_in_their_folder() {
        for (url, path) in [
            ("file:loop.ts", "loop.ts"),
            ("file:shows/one.flv", "shows/one.flv"),
            ("file://loop.TS", "loop.TS"),
        ] {
            match Address::of_pull(url) {
                Ok(Address::File(found)) => assert_eq!(found, path),
                other => panic!("{url}: {other:?}"),
            }
        }
        for url in [
            "file:/etc/passwd.ts",
            "file:///etc/x.ts",
            "file:../x.ts",
            "file:a/../../x.ts",
            "file:a//x.ts",
            "file:.hidden.ts",
            "file:a\\..\\x.ts",
            "file:",
            "file:loop.mp4",
            "file:loop",
        ] {
            assert!(Address::of_pull(url).is_err(), "{url}");
        }
        assert!(Address::of_push("file:loop.ts").is_err());
        assert!(Address::of_push("rtsp://cam/x").is_err());
    }

    #[test]
    fn a_pull_is_named_by_its_source() {
        let name = |url| Address::of_pull(url).expect("an address").participant();
        assert_eq!(
            name("rtmp://cam.example.com/a/b").as_str(),
            "pull-cam-example-com"
        );
        assert_eq!(name("file:loop.ts").as_str(), "pull-loop-ts");
        let long = format!("rtmp://{}/a/b", "x".repeat(300));
        assert_eq!(name(&long).as_str().len(), 60);
    }

    #[test]
    fn what_a_server_repeats_is_hidden() {
        let address = Address::of_push("rtmp://h/live/room-geheim?x=1").expect("an address");
        let said = address.hide("live: no room-geheim?x=1 here, nor room-geheim\n");
        assert_eq!(said, "live: no *** here, nor ***");
        let address = Address::of_push("srt://h:1?streamid=geheim").expect("an address");
        assert_eq!(address.hide("geheim is unknown"), "*** is unknown");
        let camera = Address::of_pull("rtsp://admin:geheim@cam/live/key?x=1").expect("an address");
        let said = camera.hide("no admin with geheim at /live/key?x=1, nor live/key");
        assert_eq!(said, "no *** with *** at ***, nor ***");
    }

    #[test]
    fn other_schemes_are_refused() {
        for url in [
            "",
            "ftp://h/x",
            "rtmp:/h/a/b",
            "rtmp://h",
            "rtmp://h/a\n/b",
            "udp://h:1",
        ] {
            assert!(Address::of_pull(url).is_err(), "{url}");
        }
    }
}
