//! What a person needs to know first, printed once on standard output.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use inver_proto::EncoderPorts;

use crate::config::{Config, Openness};

/// Room of the examples; any other name serves as well.
pub const ROOM: &str = "live";

/// What the banner tells.
#[derive(Debug)]
pub struct Banner<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Addresses that pages are served on.
    pub listeners: &'a [SocketAddr],
    /// Addresses of this machine that others may reach it by.
    pub machine: &'a [IpAddr],
    /// Addresses that media clients are told.
    pub candidates: &'a [SocketAddr],
    /// Token for the link to the administration page, where it is to be shown.
    pub admin_token: Option<&'a str>,
    /// A stream key of [`ROOM`], where one was just made.
    pub stream_key: Option<&'a str>,
    /// Ports of the doors for encoders that do not speak WebRTC.
    pub encoders: &'a EncoderPorts,
    /// Doors whose usual port is taken, and why.
    pub missing: &'a [String],
    /// SHA-256 of the self-signed certificate, as browsers show it.
    pub fingerprint: Option<&'a str>,
}

impl Banner<'_> {
    /// URLs that lead here, the best first; without a final slash.
    pub fn bases(&self) -> Vec<String> {
        let path = self.config.server.base_path.prefix();
        if let Some(url) = &self.config.server.public_url {
            return vec![format!("{url}{path}")];
        }
        let (scheme, usual) = if self.config.is_https() {
            ("https", 443)
        } else {
            ("http", 80)
        };
        let mut seen = BTreeSet::new();
        let mut bases = Vec::new();
        for listener in self.listeners {
            let mut hosts: Vec<String> = self.config.acme.domains.clone();
            if hosts.is_empty() && listener.ip().is_unspecified() {
                let reachable =
                    |ip: &&IpAddr| ip.is_ipv4() || listener.is_ipv6() && !is_link_local(ip);
                hosts.extend(self.machine.iter().filter(reachable).map(host));
                hosts.push("localhost".to_owned());
            } else if hosts.is_empty() {
                hosts.push(host(&listener.ip()));
            }
            for host in hosts {
                let port = listener.port();
                let port = if port == usual {
                    String::new()
                } else {
                    format!(":{port}")
                };
                let base = format!("{scheme}://{host}{port}{path}");
                if seen.insert(base.clone()) {
                    bases.push(base);
                }
            }
        }
        bases
    }

    /// The whole text.
    pub fn text(&self) -> String {
        let bases = self.bases();
        let base = bases.first().map_or("", String::as_str);
        let mut out = format!("\nInver {}\n\n", env!("CARGO_PKG_VERSION"));
        let mut line = |name: &str, text: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{}", format!("  {name:<13}{text}").trim_end());
        };
        line("Home", &format!("{base}/"));
        line("Publish", &format!("{base}/publish/{ROOM}"));
        line("Watch", &format!("{base}/watch/{ROOM}"));
        match self.admin_token {
            Some(token) => {
                line("Admin", &format!("{base}/admin#token={token}"));
                line(
                    "",
                    "Keep this link to yourself; --show-admin-link prints it again.",
                );
            }
            None => line("Admin", &format!("{base}/admin")),
        }
        for other in bases.iter().skip(1) {
            line("Also at", &format!("{other}/"));
        }
        line("", "");
        line("OBS Studio", "Settings > Stream");
        line("  Service", "WHIP");
        line("  Server", &format!("{base}/whip/{ROOM}"));
        let open = self.config.openness().is_open();
        match self.stream_key {
            Some(key) => line("  Bearer Token", &format!(" {key}")),
            None if open => line("  Bearer Token", " (leave it empty)"),
            None => line("  Bearer Token", " a stream key, made on the admin page"),
        }
        let secret = self.stream_key.unwrap_or("KEY");
        let (key, id) = if open {
            (ROOM.to_owned(), ROOM.to_owned())
        } else {
            (format!("{ROOM}-{secret}"), format!("{ROOM}:{secret}"))
        };
        let host = base
            .split_once("://")
            .map_or(base, |(_, rest)| rest)
            .split('/')
            .next()
            .unwrap_or_default();
        let host = host_of(host);
        if let Some(port) = self.encoders.rtmp {
            line(
                "RTMP",
                &format!("rtmp://{host}:{port}/live  stream key {key}"),
            );
        }
        if let Some(port) = self.encoders.rtmps {
            line(
                "RTMPS",
                &format!("rtmps://{host}:{port}/live  stream key {key}"),
            );
        }
        if let Some(port) = self.encoders.rtsp {
            line("RTSP", &format!("rtsp://{host}:{port}/{key}"));
        }
        if let Some(port) = self.encoders.srt {
            line("SRT", &format!("srt://{host}:{port}?streamid=publish:{id}"));
        }
        // FTL knows rooms by the number that only rooms with keys have.
        if let Some(port) = self.encoders.ftl {
            line(
                "FTL",
                &format!("{host}:{port}, for rooms with keys; their number is on the publish page"),
            );
        }
        line("", "");
        line("Media", &self.media());
        if let Some(fingerprint) = self.fingerprint {
            line(
                "Certificate",
                &format!("self-signed, SHA-256 {fingerprint}"),
            );
        }
        for note in self.notes() {
            let _ = writeln!(out, "\n  Note: {note}");
        }
        out.push_str("\n  Ctrl-C stops.\n\n");
        out
    }

    fn media(&self) -> String {
        let transports = if self.config.webrtc.tcp {
            "UDP and TCP"
        } else {
            "UDP"
        };
        let ports: BTreeSet<u16> = self.candidates.iter().map(SocketAddr::port).collect();
        let hosts: BTreeSet<String> = self
            .candidates
            .iter()
            .map(|candidate| host(&candidate.ip()))
            .collect();
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let hosts: Vec<String> = hosts.into_iter().collect();
        format!("{transports} {} at {}", ports.join(", "), hosts.join(", "))
    }

    /// What people should know about how they set the server up.
    pub fn notes(&self) -> Vec<String> {
        let config = self.config;
        let mut notes = self.missing.to_vec();
        let public = config.server.public_url.as_ref();
        let behind_https = public.is_some_and(|url| url.is_https());
        let reachable = self
            .listeners
            .iter()
            .any(|listener| !listener.ip().is_loopback());
        if reachable && !config.is_https() && !behind_https {
            let port = self.listeners.first().map_or(8080, SocketAddr::port);
            notes.push(format!(
                "this is plain http. Browsers open no camera on it, except on this machine \
                 itself.\n        Add --self-signed for a local network, or --domain \
                 live.example.com for a certificate\n        that every browser trusts \
                 (inver serve --listen :{port} --self-signed)."
            ));
        }
        match config.openness() {
            Openness::Open => {}
            Openness::KeyedByChoice => notes.push("rooms need keys (rooms.open = false).".into()),
            Openness::KeyedByListener => {
                notes.push("other machines can reach this server, so rooms need keys.".into());
            }
            Openness::KeyedByProxy => notes.push(
                "a public URL or proxies are set, so rooms need keys (rooms.open = true changes \
                 that)."
                    .into(),
            ),
        }
        if !config.acme.domains.is_empty() && self.listeners.iter().all(|l| l.port() != 443) {
            notes.push(
                "the certificate authority asks at port 443, and nothing listens there. Pass \
                 that port on."
                    .into(),
            );
        }
        notes
    }
}

/// The host of an authority, without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn host(ip: &IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Addresses of this machine that others may reach it by, IPv4 first.
pub fn machine_addresses() -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|ip| !ip.is_loopback() && !is_link_local(ip))
        .collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn config(toml: &str) -> Config {
        toml::from_str(toml).expect("a valid configuration")
    }

    fn banner<'a>(config: &'a Config, listeners: &'a [SocketAddr]) -> Banner<'a> {
        static MACHINE: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 5))];
        static CANDIDATES: [SocketAddr; 1] = [SocketAddr::new(
            IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 5)),
            7000,
        )];
        static ENCODERS: EncoderPorts = EncoderPorts {
            rtmp: Some(1935),
            rtmps: None,
            rtsp: Some(8554),
            srt: Some(8890),
            ftl: Some(8084),
        };
        Banner {
            config,
            listeners,
            encoders: &ENCODERS,
            missing: &[],
            machine: &MACHINE,
            candidates: &CANDIDATES,
            admin_token: None,
            stream_key: None,
            fingerprint: None,
        }
    }

    #[test]
    fn encoders_are_told_whole_keys() {
        let listeners = [address("127.0.0.1:8080")];
        let keyed = config("[rooms]\nopen = false");
        let text = Banner {
            stream_key: Some("s3cret"),
            ..banner(&keyed, &listeners)
        }
        .text();
        for part in [
            "rtmp://127.0.0.1:1935/live  stream key live-s3cret",
            "srt://127.0.0.1:8890?streamid=publish:live:s3cret",
            "rtsp://127.0.0.1:8554/live-s3cret",
            "FTL",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let open = Config::default();
        let text = banner(&open, &listeners).text();
        assert!(text.contains("streamid=publish:live\n"), "{text}");
        assert!(text.contains("/live  stream key live\n"), "{text}");
    }

    #[test]
    fn a_laptop_needs_nothing() {
        let config = Config::default();
        let listeners = [address("127.0.0.1:8080")];
        let banner = Banner {
            admin_token: Some("t0ken"),
            ..banner(&config, &listeners)
        };
        let text = banner.text();
        for part in [
            "Home         http://127.0.0.1:8080/\n",
            "http://127.0.0.1:8080/publish/live",
            "http://127.0.0.1:8080/watch/live",
            "http://127.0.0.1:8080/admin#token=t0ken",
            "Service    WHIP",
            "http://127.0.0.1:8080/whip/live",
            "(leave it empty)",
            "UDP and TCP 7000 at 192.168.1.5",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains("Note:"), "{text}");
    }

    #[test]
    fn plain_http_for_others_is_warned_about() {
        let config = config("server.listen = ':8080'");
        let listeners = [address("[::]:8080")];
        let text = banner(&config, &listeners).text();
        assert!(
            text.contains("Home         http://192.168.1.5:8080/\n"),
            "{text}"
        );
        assert!(
            text.contains("Also at      http://localhost:8080/\n"),
            "{text}"
        );
        assert!(text.contains("Browsers open no camera"), "{text}");
        assert!(text.contains("--self-signed"), "{text}");
        assert!(text.contains("rooms need keys"), "{text}");
        assert!(
            text.contains("a stream key, made on the admin page"),
            "{text}"
        );
        assert!(text.contains("http://192.168.1.5:8080/admin\n"), "{text}");
    }

    #[test]
    fn https_is_not_warned_about() {
        for toml in [
            "server.listen = ':8443'\ntls.self_signed = true",
            "server.listen = ':8443'\nserver.public_url = 'https://live.example.com'",
            "acme.domains = 'live.example.com'",
        ] {
            let config = config(toml);
            let listeners = [address("[::]:8443"), address("[::]:443")];
            let text = banner(&config, &listeners).text();
            assert!(!text.contains("plain http"), "{toml}: {text}");
        }
    }

    #[test]
    fn the_public_url_and_the_domain_come_before_addresses() {
        let config = config(
            "server.public_url = 'https://live.example.com'\nserver.base_path = '/inver'\n\
             server.listen = '127.0.0.1:1'",
        );
        let listeners = [address("127.0.0.1:1")];
        assert_eq!(
            banner(&config, &listeners).bases(),
            ["https://live.example.com/inver"]
        );

        let config = self::config("acme.domains = ['a.example.com', 'b.example.com']");
        let listeners = [address("[::]:443")];
        let bases = banner(&config, &listeners).bases();
        assert_eq!(bases, ["https://a.example.com", "https://b.example.com"]);
    }
}
