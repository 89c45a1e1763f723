//! Rules between several keys, and what they come to together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::load::Loaded;
use super::problem::{Place, Problem};
use super::schema::{Config, IceServer};
use super::value::Listen;

/// Whether rooms need keys, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Openness {
    /// No keys: only this machine can reach the server.
    Open,
    /// Keys, since `rooms.open = false` says so.
    KeyedByChoice,
    /// Keys, since a listener can be reached from other machines.
    KeyedByListener,
    /// Keys, since a public URL or trusted proxies say that a proxy passes strangers on.
    KeyedByProxy,
}

impl Openness {
    /// Whether rooms need no keys.
    pub fn is_open(self) -> bool {
        self == Self::Open
    }
}

impl Config {
    /// Addresses of pages and APIs: as configured, else all addresses on port 443 with ACME, else
    /// this machine only on port 8080.
    pub fn listen(&self) -> Vec<Listen> {
        match &self.server.listen {
            Some(listen) => listen.clone(),
            None if self.acme.domains.is_empty() => {
                vec![Listen(SocketAddr::from(([127, 0, 0, 1], 8080)))]
            }
            None => vec![Listen(SocketAddr::from(([0u16; 8], 443)))],
        }
    }

    /// Addresses of the redirect to https: as configured, else port 80 with ACME, else none.
    pub fn http_redirect(&self) -> Vec<Listen> {
        match &self.server.http_redirect {
            Some(listen) => listen.clone(),
            None if self.acme.domains.is_empty() => Vec::new(),
            None => vec![Listen(SocketAddr::from(([0u16; 8], 80)))],
        }
    }

    /// Addresses of RTMP: as configured, else those of the pages with port 1935.
    pub fn rtmp_listen(&self) -> Vec<Listen> {
        self.beside(self.rtmp.listen.as_ref(), 1935)
    }

    /// Addresses of RTMP over TLS: as configured, else those of the pages with port 1936 where
    /// there is a certificate.
    pub fn rtmps_listen(&self) -> Vec<Listen> {
        if self.rtmp.tls_listen.is_none() && (!self.is_https() || self.rtmp_listen().is_empty()) {
            return Vec::new();
        }
        self.beside(self.rtmp.tls_listen.as_ref(), 1936)
    }

    /// Addresses of RTSP: as configured, else those of the pages with port 8554.
    pub fn rtsp_listen(&self) -> Vec<Listen> {
        self.beside(self.rtsp.listen.as_ref(), 8554)
    }

    /// Addresses of RTSP over TLS: as configured, else none.
    pub fn rtsps_listen(&self) -> Vec<Listen> {
        self.rtsp.tls_listen.clone().unwrap_or_default()
    }

    /// Addresses of SRT: as configured, else those of the pages with port 8890.
    pub fn srt_listen(&self) -> Vec<Listen> {
        self.beside(self.srt.listen.as_ref(), 8890)
    }

    /// Addresses of FTL: as configured, else those of the pages with port 8084.
    pub fn ftl_listen(&self) -> Vec<Listen> {
        self.beside(self.ftl.listen.as_ref(), 8084)
    }

    fn beside(&self, configured: Option<&Vec<Listen>>, port: u16) -> Vec<Listen> {
        if let Some(configured) = configured {
            return configured.clone();
        }
        let mut beside: Vec<Listen> = Vec::new();
        for listen in self.listen() {
            let address = Listen(SocketAddr::new(listen.0.ip(), port));
            if !beside.contains(&address) {
                beside.push(address);
            }
        }
        beside
    }

    /// Addresses of everything that begins sessions.
    fn doors(&self) -> impl Iterator<Item = Listen> {
        let broadcast = [
            self.rtmp_listen(),
            self.rtmps_listen(),
            self.rtsp_listen(),
            self.rtsps_listen(),
            self.srt_listen(),
            self.ftl_listen(),
        ];
        self.listen()
            .into_iter()
            .chain(broadcast.into_iter().flatten())
    }

    /// Whether the listeners speak TLS.
    pub fn is_https(&self) -> bool {
        self.tls.certificate.is_some() || self.tls.self_signed || !self.acme.domains.is_empty()
    }

    /// Folder of everything that must survive a restart: as configured, else where the XDG base
    /// directories put it, else `inver-data` beside the working directory.
    pub fn data_dir(&self) -> PathBuf {
        if let Some(configured) = &self.server.data_dir {
            return configured.clone();
        }
        let absolute = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
            .map_or_else(|| PathBuf::from("inver-data"), |share| share.join("inver"))
    }

    /// Whether rooms need keys.
    pub fn openness(&self) -> Openness {
        if self.rooms.open == Some(false) {
            Openness::KeyedByChoice
        } else if !self.doors().all(|listen| listen.is_loopback()) {
            Openness::KeyedByListener
        } else if self.rooms.open != Some(true) && self.is_proxied() {
            Openness::KeyedByProxy
        } else {
            Openness::Open
        }
    }

    fn is_proxied(&self) -> bool {
        let server = &self.server;
        !server.trusted_proxies.is_empty()
            || server
                .public_url
                .as_ref()
                .is_some_and(|url| !url.is_loopback())
    }
}

impl Loaded {
    /// What is wrong with several keys together, each problem at the place of one of them.
    pub(super) fn contradictions(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |section: &str, key: &str, message: String| {
            problems.push(Problem {
                place: self.origin(section, key),
                key: format!("{section}.{key}"),
                message,
            });
        };
        let config = &self.config;
        if config.server.listen.as_ref().is_some_and(Vec::is_empty) {
            wrong(
                "server",
                "listen",
                "must name at least one address, like 127.0.0.1:8080".into(),
            );
        }
        match (&config.tls.certificate, &config.tls.key) {
            (Some(_), None) => {
                wrong(
                    "tls",
                    "certificate",
                    "needs tls.key, the file of its private key".into(),
                );
            }
            (None, Some(_)) => {
                wrong(
                    "tls",
                    "key",
                    "needs tls.certificate, the file of its certificate".into(),
                );
            }
            (Some(_), Some(_)) if config.tls.self_signed => {
                let message = "contradicts tls.certificate; use one of them";
                wrong("tls", "self_signed", message.into());
            }
            _ => {}
        }
        if !config.acme.domains.is_empty()
            && (config.tls.certificate.is_some() || config.tls.self_signed)
        {
            let message = "contradicts tls.certificate and tls.self_signed; use one of them";
            wrong("acme", "domains", message.into());
        }
        for domain in &config.acme.domains {
            if let Err(message) = check_domain(domain) {
                wrong("acme", "domains", message);
            }
        }
        if !config.acme.directory.starts_with("https://") {
            wrong("acme", "directory", "must begin with https://".into());
        }
        if config
            .acme
            .email
            .as_ref()
            .is_some_and(|email| !email.contains('@'))
        {
            wrong(
                "acme",
                "email",
                "is no mail address; write one like me@example.com".into(),
            );
        }
        if !config.is_https() && config.http_redirect().iter().len() > 0 {
            let message = "redirects to https, which needs tls.certificate, tls.self_signed or \
                           acme.domains";
            wrong("server", "http_redirect", message.into());
        }
        if config.rooms.open == Some(true) && !config.openness().is_open() {
            let message = "rooms without keys are for this machine only: with this, every \
                           address in server.listen, rtmp.listen, rtsp.listen, srt.listen and ftl.listen \
                           must be a loopback one, like 127.0.0.1:8080";
            wrong("rooms", "open", message.into());
        }
        if config.webrtc.shards > 256 {
            wrong(
                "webrtc",
                "shards",
                "must be at most 256; 0 means one per core".into(),
            );
        }
        let last = usize::from(config.webrtc.port) + config.webrtc.shards.max(1) - 1;
        if config.webrtc.port != 0 && last > usize::from(u16::MAX) {
            wrong(
                "webrtc",
                "port",
                format!("the last shard would have port {last}; use a lower one"),
            );
        }
        if config.webrtc.bind.is_empty() {
            wrong(
                "webrtc",
                "bind",
                "must name at least one address; \"::\" and \"0.0.0.0\" mean all".into(),
            );
        }
        if !config.webrtc.discover && config.webrtc.advertise.is_empty() {
            let message = "without it webrtc.advertise must name an address, or nobody would know \
                           where media goes";
            wrong("webrtc", "discover", message.into());
        }
        for (section, key, value) in [
            ("webrtc", "max_sessions", config.webrtc.max_sessions),
            ("rooms", "max_rooms", config.rooms.max_rooms),
            ("rooms", "max_viewers", config.rooms.max_viewers as usize),
            ("rooms", "max_publishers", config.rooms.max_publishers),
            ("rtmp", "connections", config.rtmp.connections),
            (
                "rtmp",
                "connections_per_address",
                config.rtmp.connections_per_address,
            ),
            ("rtsp", "connections", config.rtsp.connections),
            (
                "rtsp",
                "connections_per_address",
                config.rtsp.connections_per_address,
            ),
            ("srt", "connections", config.srt.connections),
            (
                "srt",
                "connections_per_address",
                config.srt.connections_per_address,
            ),
            ("ftl", "connections", config.ftl.connections),
            (
                "ftl",
                "connections_per_address",
                config.ftl.connections_per_address,
            ),
            ("limits", "connections", config.limits.connections),
            ("limits", "half_open", config.limits.half_open),
            (
                "limits",
                "half_open_per_prefix",
                config.limits.half_open_per_prefix,
            ),
            (
                "limits",
                "requests_per_second",
                config.limits.requests_per_second as usize,
            ),
            (
                "limits",
                "request_burst",
                config.limits.request_burst as usize,
            ),
        ] {
            if value == 0 {
                wrong(section, key, "must be at least 1".into());
            }
        }
        for (section, key, period) in [
            ("webrtc", "connect_timeout", config.webrtc.connect_timeout),
            ("webrtc", "lost_timeout", config.webrtc.lost_timeout),
            ("tls", "reload_interval", config.tls.reload_interval),
            ("limits", "header_timeout", config.limits.header_timeout),
            (
                "limits",
                "handshake_timeout",
                config.limits.handshake_timeout,
            ),
        ] {
            if period.0.is_zero() {
                wrong(
                    section,
                    key,
                    "must be longer than nothing; write one like 10s".into(),
                );
            }
        }
        let seconds = Duration::from_secs;
        let hls = &config.hls;
        for (key, period, least, most, range) in [
            (
                "segment_duration",
                hls.segment_duration.0,
                seconds(1),
                seconds(10),
                "1s to 10s",
            ),
            (
                "part_duration",
                hls.part_duration.0,
                Duration::from_millis(100),
                seconds(1),
                "100ms to 1s",
            ),
            (
                "window",
                hls.window.0,
                seconds(10),
                seconds(600),
                "10s to 10m",
            ),
        ] {
            if !(least..=most).contains(&period) {
                wrong("hls", key, format!("must be {range}"));
            }
        }
        if !hls.dvr.0.is_zero() && !(hls.window.0..=seconds(86_400)).contains(&hls.dvr.0) {
            let message = "must be 0 (off), or from hls.window up to 24h";
            wrong("hls", "dvr", message.into());
        }
        if !config.is_https() && !config.rtmps_listen().is_empty() {
            let message = "needs tls.certificate, tls.self_signed or acme.domains";
            wrong("rtmp", "tls_listen", message.into());
        }
        if !config.is_https() && !config.rtsps_listen().is_empty() {
            let message = "needs tls.certificate, tls.self_signed or acme.domains";
            wrong("rtsp", "tls_listen", message.into());
        }
        if config.rtsp.udp_port == Some(u16::MAX) {
            let message = "leaves no port for reports behind it; use a lower one";
            wrong("rtsp", "udp_port", message.into());
        }
        if config.srt.latency.0 > Duration::from_secs(10) {
            let message = "is longer than 10s, which no live stream needs";
            wrong("srt", "latency", message.into());
        }
        if let Some(passphrase) = &config.srt.read_passphrase
            && !(10..=79).contains(&passphrase.reveal().len())
        {
            wrong(
                "srt",
                "read_passphrase",
                "must have 10 to 79 characters".into(),
            );
        }
        for server in &config.webrtc.ice_servers {
            if let Err(message) = check_ice_server(server) {
                wrong("webrtc", "ice_servers", message);
            }
        }
        if let Some((key, message)) = config.recording_problem() {
            wrong("recording_s3", key, message);
        }
        for (key, message) in config.ladder_problems() {
            wrong("ladder", key, message);
        }
        for message in config.fallback_problems() {
            wrong("fallback", "rooms", message);
        }
        for message in config.relay_problems() {
            wrong("relay", "rooms", message);
        }
        for (section, key, message) in config.service_problems() {
            wrong(section, key, message);
        }
        for (key, message) in config.restream_problems() {
            wrong("restream", key, message);
        }
        if let Some(token) = &config.auth.admin_token
            && token.reveal().len() < 16
        {
            let message = "is shorter than 16 characters and could be guessed";
            wrong("auth", "admin_token", message.into());
        }
        let level = &config.log.level;
        if let Err(error) = level.parse::<tracing_subscriber::filter::Targets>() {
            let message = format!(
                "`{level}` is no level ({error}); write trace, debug, info, warn or error, or a \
                 list like info,inver_shard=debug"
            );
            wrong("log", "level", message);
        }
        // Options that nothing set cannot be the place of a problem; name the section's file then.
        if let Some(file) = &self.file {
            for problem in &mut problems {
                if problem.place == Place::Default {
                    problem.place = Place::File {
                        path: file.clone(),
                        line: 1,
                        column: 1,
                    };
                }
            }
        }
        problems
    }
}

fn check_domain(domain: &str) -> Result<(), String> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let wrong = |why: &str| Err(format!("`{domain}` {why}; write one like live.example.com"));
    if domain.starts_with("*.") {
        return wrong("has a wildcard, which a TLS-ALPN-01 challenge cannot prove");
    }
    if domain.parse::<std::net::IpAddr>().is_ok() {
        return wrong("is an address, for which no certificate is given");
    }
    if !domain.contains('.') || !domain.split('.').all(label) {
        return wrong("is no public domain name");
    }
    Ok(())
}

fn check_ice_server(server: &IceServer) -> Result<(), String> {
    let turn = |url: &str| url.starts_with("turn:") || url.starts_with("turns:");
    if server.urls.is_empty() {
        return Err("an entry has no urls".to_owned());
    }
    for url in &server.urls {
        let scheme = turn(url) || url.starts_with("stun:") || url.starts_with("stuns:");
        // A Link header carries it, where these would end the URL (RFC 9725, 4.6).
        if !scheme || url.contains([' ', '<', '>', '"', ',']) {
            return Err(format!(
                "`{url}` is no ICE server; write stun:host:port, \
                 turn:host:port?transport=udp or turns:host:port"
            ));
        }
    }
    match (&server.username, &server.credential, &server.secret) {
        (Some(_), Some(_), None) | (None, None, Some(_)) => Ok(()),
        (None, None, None) if !server.urls.iter().any(|url| turn(url)) => Ok(()),
        _ => Err("a TURN entry has either username and credential, or secret".to_owned()),
    }
}
