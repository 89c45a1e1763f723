//! Which keys exist and what they default to. `inver.example.toml` explains each one to people.

use std::net::IpAddr;
use std::path::PathBuf;

use inver_proto::{ParticipantId, RoomId};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::fallback::Fallback;
use super::hls::Hls;
use super::ladder::Ladder;
use super::recording::{Recording, RecordingS3};
use super::relay::Relay;
use super::value::{
    BasePath, Listen, Period, PublicUrl, Secret, UdpInput, one_or_many, some_or_many,
};

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where pages and APIs are served.
    pub server: Server,
    /// Certificates from files, or made here.
    pub tls: Tls,
    /// Certificates from an authority.
    pub acme: Acme,
    /// Media.
    pub webrtc: Webrtc,
    /// RTMP and RTMPS.
    pub rtmp: Rtmp,
    /// RTSP and RTSPS.
    pub rtsp: Rtsp,
    /// SRT.
    pub srt: Srt,
    /// FTL.
    pub ftl: Ftl,
    /// Transport streams over UDP.
    pub udp: Udp,
    /// Segments for players of HLS.
    pub hls: Hls,
    /// Rooms sent elsewhere, streams brought here.
    pub restream: Restream,
    /// Rooms that come from other servers.
    pub relay: Relay,
    /// What stands in for publishers that are gone.
    pub fallback: Fallback,
    /// Layers that FFmpeg makes.
    pub ladder: Ladder,
    /// What rooms allow.
    pub rooms: Rooms,
    /// What is kept of rooms.
    pub recording: Recording,
    /// Where recordings are uploaded to.
    pub recording_s3: RecordingS3,
    /// Who administers.
    pub auth: Auth,
    /// Who outside decides over publishers and viewers.
    pub service: Service,
    /// Who is told of publishers and viewers.
    pub hooks: Hooks,
    /// What is written to standard error.
    pub log: Log,
    /// Figures for Prometheus.
    pub metrics: Metrics,
    /// Bounds of what clients may use.
    pub limits: Limits,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Addresses of pages and APIs; see [`Config::listen`] for the default.
    #[serde(deserialize_with = "some_or_many")]
    pub listen: Option<Vec<Listen>>,
    /// Addresses that answer plain http with a redirect to https.
    #[serde(deserialize_with = "some_or_many")]
    pub http_redirect: Option<Vec<Listen>>,
    /// Folder of everything that must survive a restart; see [`Config::data_dir`].
    pub data_dir: Option<PathBuf>,
    /// Address under which people reach the server.
    pub public_url: Option<PublicUrl>,
    /// Path under which everything is served.
    pub base_path: BasePath,
    /// Networks of proxies whose `Forwarded` and `X-Forwarded-*` headers are believed.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Further host names, without port, by which an open server may be reached.
    #[serde(deserialize_with = "one_or_many")]
    pub allowed_hosts: Vec<String>,
    /// Further origins whose pages may use an open server.
    #[serde(deserialize_with = "one_or_many")]
    pub allowed_origins: Vec<String>,
    /// Longest time from the first signal to the end of the process.
    pub drain_timeout: Period,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: None,
            http_redirect: None,
            data_dir: None,
            public_url: None,
            base_path: BasePath::default(),
            trusted_proxies: Vec::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            drain_timeout: Period::seconds(10),
        }
    }
}

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate and its chain.
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key.
    pub key: Option<PathBuf>,
    /// Make a certificate that no browser trusts by itself.
    pub self_signed: bool,
    /// Names and addresses in the self-signed certificate, besides this machine's own.
    #[serde(deserialize_with = "one_or_many")]
    pub self_signed_names: Vec<String>,
    /// How often the files are looked at for a change.
    pub reload_interval: Period,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            self_signed: false,
            self_signed_names: Vec::new(),
            reload_interval: Period::seconds(10),
        }
    }
}

/// `[acme]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acme {
    /// Domains to get a certificate for; empty turns ACME off.
    #[serde(deserialize_with = "one_or_many")]
    pub domains: Vec<String>,
    /// Where the authority writes to when a certificate is about to expire.
    pub email: Option<String>,
    /// Directory URL of the authority.
    pub directory: String,
    /// PEM file with the authority's own root, for a private authority.
    pub ca: Option<PathBuf>,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            email: None,
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            ca: None,
        }
    }
}

/// `[webrtc]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webrtc {
    /// UDP and TCP port of the first shard; shard n has this plus n.
    pub port: u16,
    /// Media threads; 0 for one per core.
    pub shards: usize,
    /// Addresses that media ports are bound to.
    #[serde(deserialize_with = "one_or_many")]
    pub bind: Vec<IpAddr>,
    /// Addresses that clients are told, where they differ from this machine's own (NAT 1:1).
    #[serde(deserialize_with = "one_or_many")]
    pub advertise: Vec<IpAddr>,
    /// Whether media may come over TCP on the same port number.
    pub tcp: bool,
    /// Whether clients are told this machine's own addresses too.
    pub discover: bool,
    /// Whether the bandwidth towards viewers is estimated.
    pub bandwidth_estimation: Estimation,
    /// Whether several datagrams are handed to the kernel at once.
    pub gso: bool,
    /// Sessions per shard.
    pub max_sessions: usize,
    /// Longest time from an offer to a connection.
    pub connect_timeout: Period,
    /// How long a session that lost contact is kept.
    pub lost_timeout: Period,
    /// How long packets of an unfinished frame may wait to be sent on together.
    pub batch_delay: Period,
    /// STUN and TURN servers that clients are told.
    pub ice_servers: Vec<IceServer>,
}

impl Default for Webrtc {
    fn default() -> Self {
        Self {
            port: 7000,
            shards: 0,
            bind: vec![IpAddr::from([0u16; 8]), IpAddr::from([0u8; 4])],
            advertise: Vec::new(),
            tcp: true,
            discover: true,
            bandwidth_estimation: Estimation::Auto,
            gso: true,
            max_sessions: 10_000,
            connect_timeout: Period::seconds(30),
            lost_timeout: Period::seconds(30),
            batch_delay: Period::milliseconds(2),
            ice_servers: Vec::new(),
        }
    }
}

/// `[rtmp]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rtmp {
    /// Addresses; see [`Config::rtmp_listen`] for the default. An empty list turns RTMP off.
    #[serde(deserialize_with = "some_or_many")]
    pub listen: Option<Vec<Listen>>,
    /// Addresses of RTMP over TLS; see [`Config::rtmps_listen`] for the default.
    #[serde(deserialize_with = "some_or_many")]
    pub tls_listen: Option<Vec<Listen>>,
    /// Connections at once, RTMP and RTMPS together.
    pub connections: usize,
    /// Connections of one address.
    pub connections_per_address: usize,
}

impl Default for Rtmp {
    fn default() -> Self {
        Self {
            listen: None,
            tls_listen: None,
            connections: 1_000,
            connections_per_address: 250,
        }
    }
}

/// `[rtsp]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rtsp {
    /// Addresses; see [`Config::rtsp_listen`] for the default. An empty list turns RTSP off.
    #[serde(deserialize_with = "some_or_many")]
    pub listen: Option<Vec<Listen>>,
    /// Addresses of RTSP over TLS; none by default.
    #[serde(deserialize_with = "some_or_many")]
    pub tls_listen: Option<Vec<Listen>>,
    /// UDP port of media, the next being that of reports; 0: media goes over TCP only. Without it
    /// 8000 where that is free, and free ones beside an address whose port is chosen.
    pub udp_port: Option<u16>,
    /// Connections at once, RTSP and RTSPS together.
    pub connections: usize,
    /// Connections of one address.
    pub connections_per_address: usize,
}

impl Default for Rtsp {
    fn default() -> Self {
        Self {
            listen: None,
            tls_listen: None,
            udp_port: None,
            connections: 1_000,
            connections_per_address: 250,
        }
    }
}

/// `[srt]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Srt {
    /// UDP addresses; see [`Config::srt_listen`] for the default. An empty list turns SRT off.
    #[serde(deserialize_with = "some_or_many")]
    pub listen: Option<Vec<Listen>>,
    /// How long a lost packet is waited for at least.
    pub latency: Period,
    /// Whether publishers have to encrypt, with their stream key as passphrase.
    pub require_encryption: bool,
    /// Passphrase of readers who encrypt.
    pub read_passphrase: Option<Secret>,
    /// Connections at once.
    pub connections: usize,
    /// Connections of one address.
    pub connections_per_address: usize,
}

impl Default for Srt {
    fn default() -> Self {
        Self {
            listen: None,
            latency: Period::milliseconds(120),
            require_encryption: false,
            read_passphrase: None,
            connections: 1_000,
            connections_per_address: 250,
        }
    }
}

/// `[ftl]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ftl {
    /// Addresses, TCP and UDP; see [`Config::ftl_listen`] for the default. An empty list turns FTL
    /// off.
    #[serde(deserialize_with = "some_or_many")]
    pub listen: Option<Vec<Listen>>,
    /// Control connections at once.
    pub connections: usize,
    /// Control connections of one address.
    pub connections_per_address: usize,
}

impl Default for Ftl {
    fn default() -> Self {
        Self {
            listen: None,
            connections: 1_000,
            connections_per_address: 250,
        }
    }
}

/// `[udp]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Udp {
    /// Rooms that MPEG transport streams over UDP feed, each with its address.
    #[serde(deserialize_with = "one_or_many")]
    pub inputs: Vec<UdpInput>,
}

/// `[restream]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Restream {
    /// Whether pushes and pulls made by API or page may lead to addresses inside the network.
    pub allow_private: bool,
    /// Most pushes, and most pulls, in all.
    pub max: usize,
    /// Most pushes, and most pulls, of one room.
    pub max_per_room: usize,
    /// Folder of files that can be pulled.
    pub files_dir: Option<PathBuf>,
    /// Targets that rooms are sent to.
    pub pushes: Vec<Push>,
    /// Sources that rooms are fed from.
    pub pulls: Vec<Pull>,
}

impl Default for Restream {
    fn default() -> Self {
        Self {
            allow_private: false,
            max: 100,
            max_per_room: 10,
            files_dir: None,
            pushes: Vec::new(),
            pulls: Vec::new(),
        }
    }
}

/// `[[restream.pushes]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// The room.
    pub room: RoomId,
    /// Where to.
    pub url: Secret,
    /// Whether Opus goes to an SRT target as it is.
    #[serde(default)]
    pub keep_opus: bool,
}

/// `[[restream.pulls]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pull {
    /// The room.
    pub room: RoomId,
    /// Where from.
    pub url: Secret,
    /// Whether it runs only while somebody watches.
    #[serde(default)]
    pub on_demand: bool,
    /// As whom it publishes.
    #[serde(default)]
    pub participant: Option<ParticipantId>,
}

/// When the bandwidth towards viewers is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Estimation {
    /// For viewers who can get one of several layers.
    Auto,
    /// For all.
    On,
    /// For none.
    Off,
}

/// `[[webrtc.ice_servers]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// `stun:`, `turn:` or `turns:` URLs (RFC 7064, RFC 7065).
    #[serde(deserialize_with = "one_or_many")]
    pub urls: Vec<String>,
    /// Fixed TURN user name.
    #[serde(default)]
    pub username: Option<String>,
    /// Fixed TURN password.
    #[serde(default)]
    pub credential: Option<Secret>,
    /// Secret shared with the TURN server, from which passwords that expire are made.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// How long such a password is good for.
    #[serde(default = "hour")]
    pub ttl: Period,
}

fn hour() -> Period {
    Period::seconds(3600)
}

/// `[rooms]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rooms {
    /// Whether rooms need no keys; see [`Config::openness`] for the default.
    pub open: Option<bool>,
    /// Whether anyone may watch where rooms have keys.
    pub public_viewing: bool,
    /// Whether viewers may come before the publisher.
    pub wait_for_publisher: bool,
    /// How long viewers stay attached when their publisher is gone.
    pub grace: Period,
    /// Rooms at once.
    pub max_rooms: usize,
    /// Viewers of one room.
    pub max_viewers: u32,
    /// Participants that publish in one call.
    pub max_publishers: usize,
    /// Publications with B-frames that are coded again for viewers over WebRTC at once.
    pub recode_b_frames: usize,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            open: None,
            public_viewing: true,
            wait_for_publisher: false,
            grace: Period::seconds(30),
            max_rooms: 10_000,
            max_viewers: 10_000,
            max_publishers: 100,
            recode_b_frames: 1,
        }
    }
}

/// `[auth]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Token of the administrator; made at the first run where it is not set.
    pub admin_token: Option<Secret>,
}

/// `[service]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// Who decides.
    pub kind: ServiceKind,
    /// Where it is asked. A secret: URLs may carry one.
    pub url: Option<Secret>,
    /// One to four secrets `whsec_...` that sign what a webhook is sent.
    #[serde(deserialize_with = "some_or_many")]
    pub secret: Option<Vec<Secret>>,
    /// OAuth 2 client id, for GraphQL.
    pub client_id: Option<String>,
    /// OAuth 2 client secret, for GraphQL.
    pub client_secret: Option<Secret>,
    /// Whether the URL may lead into the server's own network.
    pub allow_private: bool,
    /// How long a decision may take.
    pub deadline: Period,
    /// What happens to who wants in when there is no decision.
    pub when_down: WhenDown,
    /// Whether a webhook is asked about viewers too.
    pub viewers: bool,
    /// Whether it gets pictures of streams; a webhook does not, GraphQL does, where this is absent.
    pub thumbnails: Option<bool>,
    /// Time between two reports of a stream.
    pub report_interval: Period,
    /// What happens to a stream when reports have failed too often.
    pub at_limit: AtLimit,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            kind: ServiceKind::BuiltIn,
            url: None,
            secret: None,
            client_id: None,
            client_secret: None,
            allow_private: false,
            deadline: Period::seconds(2),
            when_down: WhenDown::Deny,
            viewers: true,
            thumbnails: None,
            report_interval: Period::seconds(5),
            at_limit: AtLimit::Keep,
        }
    }
}

/// Who decides over publishers and viewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceKind {
    /// The server's own stream keys, tokens and policy.
    BuiltIn,
    /// A signed webhook.
    Webhook,
    /// An HTTP and GraphQL service.
    #[serde(rename = "graphql")]
    GraphQl,
}

/// What happens to who wants in while the service does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenDown {
    /// Nobody new comes in.
    Deny,
    /// Everybody comes in unchecked.
    Allow,
}

/// What happens to a stream whose reports have failed too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AtLimit {
    /// It goes on.
    Keep,
    /// It is ended.
    End,
}

/// `[hooks]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hooks {
    /// Where to. Secrets: URLs may carry one.
    #[serde(deserialize_with = "one_or_many")]
    pub urls: Vec<Secret>,
    /// One to four secrets `whsec_...`, each of which signs.
    #[serde(deserialize_with = "some_or_many")]
    pub secret: Option<Vec<Secret>>,
    /// Whether the URLs may lead into the server's own network.
    pub allow_private: bool,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// A level, or a list of `target=level`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// `[metrics]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// A listener of its own for `/metrics`, `/livez` and `/readyz`, without credentials.
    #[serde(deserialize_with = "some_or_many")]
    pub listen: Option<Vec<Listen>>,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// HTTP connections at once, over all addresses.
    pub connections: usize,
    /// Sessions that are not connected yet.
    pub half_open: usize,
    /// Such sessions of one IPv4 /24 or IPv6 /64 prefix; this machine is exempt.
    pub half_open_per_prefix: usize,
    /// Requests per second that change something, of one IPv4 address or IPv6 /64 prefix, and of
    /// one token.
    pub requests_per_second: u32,
    /// Such requests at once.
    pub request_burst: u32,
    /// Longest time for a request's header to arrive.
    pub header_timeout: Period,
    /// Longest time for a TLS handshake.
    pub handshake_timeout: Period,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            half_open: 2_000,
            half_open_per_prefix: 100,
            requests_per_second: 50,
            request_burst: 500,
            header_timeout: Period::seconds(10),
            handshake_timeout: Period::seconds(10),
        }
    }
}

/// Networks, where a lone address means itself.
fn networks<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts: Vec<String> = one_or_many(deserializer)?;
    texts
        .iter()
        .map(|text| {
            text.parse::<IpNet>()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| {
                    serde::de::Error::custom(format!(
                        "`{text}` is no network; write one like 10.0.0.0/8, 192.0.2.7 or fd00::/8"
                    ))
                })
        })
        .collect()
}

/// The sections with their keys, as the types above have them.
pub static SECTIONS: std::sync::LazyLock<Vec<(&'static str, &'static [&'static str])>> =
    std::sync::LazyLock::new(|| {
        vec![
            ("server", fields::<Server>()),
            ("tls", fields::<Tls>()),
            ("acme", fields::<Acme>()),
            ("webrtc", fields::<Webrtc>()),
            ("rtmp", fields::<Rtmp>()),
            ("rtsp", fields::<Rtsp>()),
            ("srt", fields::<Srt>()),
            ("ftl", fields::<Ftl>()),
            ("udp", fields::<Udp>()),
            ("hls", fields::<Hls>()),
            ("restream", fields::<Restream>()),
            ("relay", fields::<Relay>()),
            ("fallback", fields::<Fallback>()),
            ("ladder", fields::<Ladder>()),
            ("rooms", fields::<Rooms>()),
            ("recording", fields::<Recording>()),
            ("recording_s3", fields::<RecordingS3>()),
            ("auth", fields::<Auth>()),
            ("service", fields::<Service>()),
            ("hooks", fields::<Hooks>()),
            ("log", fields::<Log>()),
            ("metrics", fields::<Metrics>()),
            ("limits", fields::<Limits>()),
        ]
    });

/// The keys of a section, or `None` where there is no such section.
pub fn keys_of(section: &str) -> Option<&'static [&'static str]> {
    SECTIONS
        .iter()
        .find(|(name, _)| *name == section)
        .map(|(_, keys)| *keys)
}

/// Names of a struct's fields, as serde's derive hands them to a deserializer.
fn fields<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    struct Probe<'a>(&'a mut &'static [&'static str]);

    impl<'de> serde::Deserializer<'de> for Probe<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_any<V: serde::de::Visitor<'de>>(
            self,
            _: V,
        ) -> Result<V::Value, Self::Error> {
            Err(serde::de::Error::custom(
                "only the names of fields are asked for",
            ))
        }

        fn deserialize_struct<V: serde::de::Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
            option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
            ignored_any
        }
    }

    let mut names: &'static [&'static str] = &[];
    // The probe always fails: the names are what it leaves behind.
    let _ = T::deserialize(Probe(&mut names));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_is_listed() {
        let listed: Vec<_> = SECTIONS.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, fields::<Config>());
        assert!(SECTIONS.iter().all(|(_, keys)| !keys.is_empty()));
        assert_eq!(keys_of("log"), Some(&["format", "level"][..]));
        assert_eq!(keys_of("nothing"), None);
    }
}
