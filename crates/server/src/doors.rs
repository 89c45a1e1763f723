//! The doors on sockets of their own: RTMP, RTSP, SRT, FTL, transport streams over UDP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use inver_inputs::{ftl, rtmp, rtsp, srt, udp_ts};
use inver_node::Handle;
use inver_proto::EncoderPorts;
use inver_sockets::rtsp::Udp;
use inver_sockets::{Limits, Stop};
use rustls::ServerConfig;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use crate::config::{Config, Listen, UdpInput};
use crate::listen;

/// How long an input that failed waits before it is bound again: an interface may come back.
const REBIND: Duration = Duration::from_secs(10);

/// UDP port of RTSP's media, where none is named: what other servers of RTSP use.
const MEDIA_PORT: u16 = 8000;

/// Addresses of encoders, bound before anything else begins.
#[derive(Default)]
pub(crate) struct Bound {
    rtmp: Vec<TcpListener>,
    rtmps: Vec<TcpListener>,
    rtsp: Vec<(TcpListener, Option<(UdpSocket, UdpSocket)>)>,
    rtsps: Vec<TcpListener>,
    srt: Vec<UdpSocket>,
    ftl: Vec<(TcpListener, UdpSocket)>,
    /// What could not be had of what nobody asked for by name, and why.
    pub(crate) missing: Vec<String>,
}

impl Bound {
    /// Binds all addresses. One that is only a default may be taken: another server on the same
    /// machine is no reason not to start.
    ///
    /// # Errors
    /// An address that the configuration names cannot be bound.
    pub(crate) fn new(config: &Config) -> Result<Self, listen::Error> {
        let mut bound = Self::default();
        for address in config.rtmp_listen() {
            let named = config.rtmp.listen.is_some();
            let listener = listen::bind(address, "rtmp.listen", None);
            bound
                .rtmp
                .extend(bound.missing.take("RTMP", named, listener)?);
        }
        for address in config.rtmps_listen() {
            let named = config.rtmp.tls_listen.is_some();
            let listener = listen::bind(address, "rtmp.tls_listen", None);
            bound
                .rtmps
                .extend(bound.missing.take("RTMPS", named, listener)?);
        }
        for address in config.rtsp_listen() {
            let named = config.rtsp.listen.is_some();
            let listener = listen::bind(address, "rtsp.listen", None);
            if let Some(listener) = bound.missing.take("RTSP", named, listener)? {
                let named = config.rtsp.udp_port.is_some();
                let ports = media_ports(address.0, config.rtsp.udp_port);
                let ports = bound.missing.take("RTSP over UDP", named, ports)?;
                bound.rtsp.push((listener, ports.flatten()));
            }
        }
        for address in config.rtsps_listen() {
            let listener = listen::bind(address, "rtsp.tls_listen", None);
            bound
                .rtsps
                .extend(bound.missing.take("RTSPS", true, listener)?);
        }
        for address in config.srt_listen() {
            let named = config.srt.listen.is_some();
            let socket = listen::bind_udp(address, "srt.listen");
            bound.srt.extend(bound.missing.take("SRT", named, socket)?);
        }
        for address in config.ftl_listen() {
            let named = config.ftl.listen.is_some();
            let both = listen::bind(address, "ftl.listen", None).and_then(|listener| {
                // Clients send media to the same port number.
                let port = listener
                    .local_addr()
                    .map_or(address.0.port(), |at| at.port());
                let media = Listen(SocketAddr::new(address.0.ip(), port));
                Ok((listener, listen::bind_udp(media, "ftl.listen")?))
            });
            bound.ftl.extend(bound.missing.take("FTL", named, both)?);
        }
        Ok(bound)
    }

    /// The ports that clients are told.
    pub(crate) fn ports(&self) -> EncoderPorts {
        let tcp = |listener: Option<&TcpListener>| {
            let address = listener?.local_addr().ok()?;
            Some(address.port())
        };
        EncoderPorts {
            rtmp: tcp(self.rtmp.first()),
            rtmps: tcp(self.rtmps.first()),
            rtsp: tcp(self.rtsp.first().map(|(listener, _)| listener)),
            srt: self
                .srt
                .first()
                .and_then(|socket| Some(socket.local_addr().ok()?.port())),
            ftl: tcp(self.ftl.first().map(|(listener, _)| listener)),
        }
    }

    /// Serves until the stop, and then until what was served has ended.
    pub(crate) fn serve(
        self,
        config: &Config,
        handle: &Handle,
        tls: Option<&Arc<ServerConfig>>,
        serving: &mut JoinSet<()>,
        stop: &Stop,
    ) {
        let player = inver_outputs::rtmp::Player::new(
            handle.clone(),
            inver_outputs::rtmp::Config::default(),
        );
        let settings = rtmp::Config {
            limits: Limits {
                connections: config.rtmp.connections,
                per_address: config.rtmp.connections_per_address,
            },
        };
        let door = rtmp::Server::new(handle.clone(), settings, Arc::new(player));
        let plain = self.rtmp.into_iter().map(|listener| (listener, None));
        let secure = self
            .rtmps
            .into_iter()
            .map(|listener| (listener, tls.cloned()));
        for (listener, tls) in plain.chain(secure) {
            let (door, stop) = (door.clone(), stop.clone());
            serving.spawn(async move { door.serve(listener, tls, stop).await });
        }
        let reader = inver_outputs::rtsp::Reader::new(
            handle.clone(),
            inver_outputs::rtsp::Config::default(),
        );
        let settings = rtsp::Config {
            limits: Limits {
                connections: config.rtsp.connections,
                per_address: config.rtsp.connections_per_address,
            },
        };
        let door = rtsp::Server::new(handle.clone(), settings, Arc::new(reader));
        let plain = self.rtsp.into_iter().map(|(listener, media)| {
            let media = media.map(|(rtp, rtcp)| Arc::new(Udp::new(rtp, rtcp)));
            (listener, None, media)
        });
        let secure = self
            .rtsps
            .into_iter()
            .map(|listener| (listener, tls.cloned(), None));
        for (listener, tls, media) in plain.chain(secure) {
            let (door, stop) = (door.clone(), stop.clone());
            serving.spawn(async move { door.serve(listener, tls, media, stop).await });
        }
        for socket in self.srt {
            let (door, stop) = (srt_door(config, handle), stop.clone());
            serving.spawn(async move {
                if let Err(error) = door.serve(socket, stop).await {
                    tracing::error!(%error, "SRT has ended");
                }
            });
        }
        for (listener, media) in self.ftl {
            let settings = ftl::Config {
                limits: Limits {
                    connections: config.ftl.connections,
                    per_address: config.ftl.connections_per_address,
                },
                media_port: None,
            };
            let (door, stop) = (ftl::Server::new(handle.clone(), settings), stop.clone());
            serving.spawn(async move {
                if let Err(error) = door.serve(listener, media, stop).await {
                    tracing::error!(%error, "FTL has ended");
                }
            });
        }
        let tls = inver_sockets::tls_client();
        let pushes = inver_outputs::push::run(handle.clone(), tls.clone(), stop.clone());
        serving.spawn(pushes);
        let fallbacks = inver_inputs::fallback::run(handle.clone(), tls.clone(), stop.clone());
        serving.spawn(fallbacks);
        let ladder = inver_inputs::ladder::run(handle.clone(), config.ladder(), stop.clone());
        serving.spawn(ladder);
        serving.spawn(inver_inputs::pull::run(handle.clone(), tls, stop.clone()));
        for input in config.udp.inputs.clone() {
            serving.spawn(receive(input, handle.clone(), stop.clone()));
        }
    }
}

/// The two UDP ports of RTSP's media beside an address, where there are to be any.
fn media_ports(
    beside: SocketAddr,
    port: Option<u16>,
) -> Result<Option<(UdpSocket, UdpSocket)>, listen::Error> {
    let bind = |port| listen::bind_udp(Listen(SocketAddr::new(beside.ip(), port)), "rtsp.udp_port");
    match port {
        Some(0) => Ok(None),
        // Reports need not stand behind media: clients are told both ports.
        None if beside.port() == 0 => Ok(Some((bind(0)?, bind(0)?))),
        port => {
            let port = port.unwrap_or(MEDIA_PORT);
            Ok(Some((bind(port)?, bind(port.saturating_add(1))?)))
        }
    }
}

fn srt_door(config: &Config, handle: &Handle) -> srt::Server {
    let settings = srt::Config {
        limits: Limits {
            connections: config.srt.connections,
            per_address: config.srt.connections_per_address,
        },
        latency: config.srt.latency.0,
        require_encryption: config.srt.require_encryption,
    };
    let reading = inver_outputs::srt::Config {
        passphrase: config
            .srt
            .read_passphrase
            .as_ref()
            .map(|passphrase| inver_node::Secret::new(passphrase.reveal())),
        ..inver_outputs::srt::Config::default()
    };
    let reader = inver_outputs::srt::Reader::new(handle.clone(), reading);
    srt::Server::new(handle.clone(), settings, Arc::new(reader))
}

/// Feeds a room from a transport stream over UDP, as long as the program runs.
async fn receive(input: UdpInput, handle: Handle, mut stop: Stop) {
    let group = input
        .address
        .ip()
        .is_multicast()
        .then_some(input.address.ip());
    let bind = match group {
        None => input.address,
        Some(group) if group.is_ipv4() => SocketAddr::from(([0_u8; 4], input.address.port())),
        Some(_) => SocketAddr::from(([0_u16; 8], input.address.port())),
    };
    loop {
        let room = input.room.clone();
        let served = udp_ts::serve(handle.clone(), room, bind, group, stop.clone()).await;
        match served {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(input = %input, %error, "udp.inputs: trying again in a while");
            }
        }
        tokio::select! {
            () = inver_sockets::stopped(&mut stop) => return,
            () = tokio::time::sleep(REBIND) => {}
        }
    }
}

/// Keeps what could be bound; notes what could not, unless it was asked for.
trait Missing {
    fn take<T>(
        &mut self,
        door: &str,
        named: bool,
        bound: Result<T, listen::Error>,
    ) -> Result<Option<T>, listen::Error>;
}

impl Missing for Vec<String> {
    fn take<T>(
        &mut self,
        door: &str,
        named: bool,
        bound: Result<T, listen::Error>,
    ) -> Result<Option<T>, listen::Error> {
        match bound {
            Ok(bound) => Ok(Some(bound)),
            Err(error) if named => Err(error),
            Err(error) => {
                self.push(format!("No {door}: {error}"));
                Ok(None)
            }
        }
    }
}
