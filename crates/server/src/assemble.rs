//! From a configuration and a data plane to routes: which crate gets which setting.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime};

use anyhow::Context as _;
use axum::Router;
use axum::extract::Request;
use axum::http::header;
use inver_node::{Action, Handle, Policy, Secret};
use inver_outputs::{record, thumbnail};

use crate::config::{Config, Estimation};
use crate::http::operations::Operations;
use crate::http::{base_path, observe, pages};
use crate::metrics::{HttpRequests, Rooms};
use crate::turn;

/// Share of the drain's time in which the service outside is told what is left. It lies within the
/// quarter that is kept for closing.
const FAREWELL_SHARE: u32 = 5;

/// Settings of the data plane.
pub fn shard_config(config: &Config) -> inver_shard::Config {
    let webrtc = &config.webrtc;
    inver_shard::Config {
        bind: webrtc.bind.clone(),
        port: webrtc.port,
        shards: match webrtc.shards {
            0 => inver_shard::Config::default().shards,
            shards => shards,
        },
        tcp: webrtc.tcp,
        advertise: webrtc.advertise.clone(),
        discover: webrtc.discover,
        gso: webrtc.gso,
        estimation: match webrtc.bandwidth_estimation {
            Estimation::Auto => inver_shard::Estimation::Auto,
            Estimation::On => inver_shard::Estimation::On,
            Estimation::Off => inver_shard::Estimation::Off,
        },
        max_sessions: webrtc.max_sessions,
        connect_timeout: webrtc.connect_timeout.0,
        lost_timeout: webrtc.lost_timeout.0,
        batch_delay: webrtc.batch_delay.0,
    }
}

/// What the server is called where several report to one service: its public name, or the machine's.
fn server_name(config: &Config) -> Option<String> {
    let public = config.server.public_url.as_ref();
    let machine = || {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    };
    public.map(|url| url.host().to_owned()).or_else(machine)
}

/// Settings of the control plane. Call it within a tokio runtime: hooks have tasks.
///
/// # Errors
/// The service outside cannot be reached as it is configured.
pub fn node_config(config: &Config) -> anyhow::Result<inver_node::Config> {
    let rooms = &config.rooms;
    let limits = &config.limits;
    Ok(inver_node::Config {
        data_dir: config.data_dir(),
        policy: Policy {
            open: config.openness().is_open(),
            public_viewing: rooms.public_viewing,
            grace: rooms.grace.0,
            wait_for_publisher: rooms.wait_for_publisher,
            max_rooms: rooms.max_rooms,
            max_viewers: rooms.max_viewers,
            max_publishers: rooms.max_publishers,
            max_half_open: limits.half_open,
            max_half_open_per_prefix: limits.half_open_per_prefix,
            ..Policy::default()
        },
        ice_servers: turn::ice_servers(&config.webrtc.ice_servers, SystemTime::now()),
        admin_token: config
            .auth
            .admin_token
            .as_ref()
            .map(|token| Secret::new(token.reveal())),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        server_name: server_name(config),
        recoders: rooms.recode_b_frames,
        service: inver_service::build(config.services()).context("[service] and [hooks]")?,
        reports: config.reports(),
        farewell: config.server.drain_timeout.0 / FAREWELL_SHARE,
        restream: config.restream(),
        fallbacks: config.fallbacks(),
    })
}

/// Settings of the HTTP doors.
pub fn http_config(config: &Config) -> inver_http::Config {
    let server = &config.server;
    let rate = inver_http::Rate {
        per_second: config.limits.requests_per_second,
        burst: config.limits.request_burst,
    };
    let path = server.base_path.prefix();
    inver_http::Config {
        public_url: server.public_url.as_ref().map(|url| format!("{url}{path}")),
        base_path: path.to_owned(),
        trusted_proxies: server.trusted_proxies.clone(),
        open: config.openness().is_open(),
        allowed_hosts: server.allowed_hosts.clone(),
        allowed_origins: server.allowed_origins.clone(),
        address_rate: rate,
        token_rate: rate,
        ..inver_http::Config::default()
    }
}

/// Everything that is served.
#[derive(Clone)]
pub struct Application {
    /// Pages, doors and operations.
    pub router: Router,
    /// What a listener of its own for metrics serves.
    pub metrics: Router,
    /// Whether new sessions are accepted.
    pub ready: Arc<AtomicBool>,
}

/// Joins doors, pages and operations.
///
/// # Errors
/// A setting that the doors refuse.
pub fn application(
    config: &Config,
    handle: &Handle,
    recorder: &record::Recorder,
) -> anyhow::Result<Application> {
    let context = inver_http::Context::new(http_config(config)).context("server")?;
    let requests = Arc::new(HttpRequests::default());
    let ready = Arc::new(AtomicBool::new(true));
    let operations = operations(config, handle, &context, &requests, &ready);
    let pictures = Arc::new(thumbnail::Maker::new(thumbnail::Config::default()));
    handle.set_pictures(pictures.clone());
    let doors = Router::new()
        .merge(inver_inputs::whip::router(handle.clone(), context.clone()))
        .merge(inver_outputs::whep::router(
            handle.clone(),
            context.clone(),
            config.hls.enabled,
        ))
        .merge(hls(config, handle, &context)?)
        .merge(thumbnail::router(handle.clone(), context.clone(), pictures))
        .merge(record::router(recorder.clone(), context.clone()))
        .merge(inver_signalling::api::router(
            handle.clone(),
            context,
            [record::openapi()],
        ));
    let app = doors
        .merge(pages::router(config.server.base_path.prefix()))
        .merge(operations.clone().guarded());
    let app = pages::secure(observe::observe(app, requests));
    Ok(Application {
        router: base_path::under(app, &config.server.base_path),
        metrics: operations.unguarded(),
        ready,
    })
}

/// The routes of HLS, none where it is off.
fn hls(config: &Config, handle: &Handle, context: &inver_http::Context) -> anyhow::Result<Router> {
    let hls = &config.hls;
    if !hls.enabled {
        return Ok(Router::new());
    }
    let dvr = Some(hls.dvr.0).filter(|dvr| !dvr.is_zero());
    let disk = || inver_outputs::hls::Disk {
        folder: config.data_dir().join("hls"),
        // Recordings are to keep what is more than they need.
        reserve: config.recording.min_free_space.0.saturating_mul(2),
    };
    let config = inver_outputs::hls::Config {
        always_on: hls.always_on,
        segment_duration: hls.segment_duration.0,
        part_duration: hls.part_duration.0,
        window: hls.window.0,
        past: dvr.map(|dvr| (dvr, disk())),
    };
    inver_outputs::hls::router(handle.clone(), context.clone(), config).context("[hls]")
}

fn operations(
    config: &Config,
    handle: &Handle,
    context: &inver_http::Context,
    requests: &Arc<HttpRequests>,
    ready: &Arc<AtomicBool>,
) -> Operations {
    let snapshots = handle.clone();
    let rooms = handle.clone();
    let (asked, context) = (handle.clone(), context.clone());
    let known_host = config
        .server
        .public_url
        .as_ref()
        .map(|url| url.host().to_owned());
    Operations {
        ready: ready.clone(),
        requests: requests.clone(),
        started: Instant::now(),
        snapshots: Arc::new(move || snapshots.snapshots()),
        rooms: Arc::new(move || {
            let (live, viewers) = rooms.totals();
            let sessions = rooms.session_counts();
            Rooms {
                live: live as usize,
                viewers: viewers as usize,
                connecting: sessions.connecting,
                publishing: sessions.publishing,
            }
        }),
        may_read: Arc::new(move |request| {
            is_local(request, &context, known_host.as_deref())
                || asked
                    .authorize(
                        &inver_http::bearer(request.headers()),
                        Action::AdministerServer,
                    )
                    .is_ok_and(|grant| grant.is_authenticated())
        }),
    }
}

/// Whether a request comes from a program on this machine: not through a proxy that nobody told us
/// of, and not from a website whose name was pointed at this machine.
fn is_local(request: &Request, context: &inver_http::Context, known_host: Option<&str>) -> bool {
    let headers = request.headers();
    let caller = inver_http::Caller::of(context, request.uri(), headers, request.extensions());
    let from_here = caller
        .address()
        .is_some_and(|address| address.is_loopback());
    let forwarded =
        headers.contains_key(header::FORWARDED) || headers.contains_key("x-forwarded-for");
    let named = caller.authority().is_some_and(|authority| {
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<std::net::IpAddr>().is_ok()
            || host.eq_ignore_ascii_case("localhost")
            || known_host.is_some_and(|known| known.eq_ignore_ascii_case(host))
    });
    from_here && !forwarded && named
}
