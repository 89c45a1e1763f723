//! The configuration's layers, its errors, and the example file.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inver_server::config::{
    Config, Flag, LogFormat, Openness, Place, Problems, SECTIONS, Sources, effective, load,
};
use inver_service::Decider;

struct Given {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl Given {
    fn file(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("inver.toml");
        std::fs::write(&path, text).expect("a writable folder");
        let sources = Sources {
            file: Some(path),
            ..Sources::default()
        };
        Self { folder, sources }
    }

    fn environment(mut self, name: &str, text: &str) -> Self {
        self.sources.environment.push((name.into(), text.into()));
        self
    }

    fn flag(
        mut self,
        section: &'static str,
        key: &'static str,
        name: &'static str,
        text: &str,
    ) -> Self {
        self.sources.flags.push(Flag {
            section,
            key,
            name,
            values: vec![text.to_owned()],
        });
        self
    }

    fn config(&self) -> Config {
        load(&self.sources).expect("a right configuration").config
    }

    /// Every problem as text, with the file's folder cut off.
    fn problems(&self) -> Vec<String> {
        let Problems(problems) = load(&self.sources).expect_err("a wrong configuration");
        let folder = format!("{}/", self.folder.path().display());
        problems
            .iter()
            .map(|problem| problem.to_string().replace(&folder, ""))
            .collect()
    }
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "[server]\nlisten = '127.0.0.1:1'\n[log]\nlevel = 'warn'\n";
    let given = Given::file(file);
    let config = given.config();
    assert_eq!(config.listen()[0].to_string(), "127.0.0.1:1");
    assert_eq!(config.log.level, "warn");
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.webrtc.port, 7000);

    let given = given
        .environment("INVER_SERVER__LISTEN", "127.0.0.1:2, [::1]:2")
        .environment("INVER_LOG__FORMAT", "json")
        .environment("OTHER_VARIABLE", "x");
    let config = given.config();
    assert_eq!(config.listen().len(), 2);
    assert_eq!(config.listen()[1].to_string(), "[::1]:2");
    assert_eq!(config.log.level, "warn");
    assert_eq!(config.log.format, LogFormat::Json);

    let given = given.flag("server", "listen", "--listen", "127.0.0.1:3");
    let loaded = load(&given.sources).expect("a right configuration");
    assert_eq!(loaded.config.listen()[0].to_string(), "127.0.0.1:3");
    assert_eq!(loaded.origin("server", "listen"), Place::Flag("--listen"));
    assert_eq!(
        loaded.origin("log", "format"),
        Place::Environment("INVER_LOG__FORMAT".to_owned())
    );
    assert_eq!(loaded.origin("webrtc", "port"), Place::Default);
}

#[test]
fn the_environment_speaks_every_type() {
    let config = Given::file("")
        .environment("INVER_DATA_DIR", "/srv/123")
        .environment("INVER_WEBRTC__PORT", "9000")
        .environment("INVER_WEBRTC__TCP", "false")
        .environment("INVER_WEBRTC__ADVERTISE", "192.0.2.1,2001:db8::1")
        .environment(
            "INVER_WEBRTC__ICE_SERVERS",
            "[{ urls = 'stun:s.example:3478' }]",
        )
        .environment("INVER_ROOMS__GRACE", "1m")
        .environment("INVER_AUTH__ADMIN_TOKEN", "1234567890123456")
        .environment("INVER_TRUSTED_PROXIES", "10.0.0.0/8,192.0.2.7")
        .config();
    assert_eq!(config.server.data_dir, Some(PathBuf::from("/srv/123")));
    assert_eq!(config.webrtc.port, 9000);
    assert!(!config.webrtc.tcp);
    assert_eq!(config.webrtc.advertise.len(), 2);
    assert_eq!(config.webrtc.ice_servers[0].urls, ["stun:s.example:3478"]);
    assert_eq!(config.rooms.grace.to_string(), "1m");
    assert_eq!(config.server.trusted_proxies.len(), 2);
    let token = config.auth.admin_token.expect("was set");
    assert_eq!(token.reveal(), "1234567890123456");
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let file = "\
[server]
lisen = '127.0.0.1:8080'
drain_timeout = 10

[webrtc]
  port = 70000
ice_servers = [{ url = 'stun:a' }]
grace = '1s'

[websockets]
x = 1
";
    let problems = Given::file(file)
        .environment("INVER_LISTN", ":80")
        .environment("INVER_LOG__COLOUR", "red")
        .environment("INVER_WEBRTC__SHARDS", "many")
        .flag("server", "listen", "--listen", "localhost:80")
        .problems();
    let expected = [
        "environment variable INVER_LISTN: server.listn: unknown key; did you mean `listen`?",
        "environment variable INVER_LOG__COLOUR: log.colour: unknown key; [log] has format, level",
        "inver.toml:2:1: server.lisen: unknown key; did you mean `listen`?",
        "inver.toml:3:17: server.drain_timeout: invalid type: integer `10`, expected a string",
        "inver.toml:6:10: webrtc.port: invalid value: integer `70000`, expected u16",
        "inver.toml:8:1: webrtc.grace: unknown key; did you mean rooms.grace?",
        "inver.toml:10:2: websockets: unknown section; the sections are server, tls,",
        "environment variable INVER_WEBRTC__SHARDS: webrtc.shards: invalid type: string \"many\"",
        "flag --listen: server.listen: `localhost:80` is no address and port: a name cannot be",
    ];
    for expected in expected {
        assert!(
            problems.iter().any(|problem| problem.starts_with(expected)),
            "{expected:?} is not among {problems:#?}"
        );
    }
    let nested = problems
        .iter()
        .find(|problem| problem.contains("webrtc.ice_servers"))
        .expect("the misspelt key inside the list");
    assert!(
        nested.starts_with("inver.toml:7:18: ") && nested.contains("unknown field `url`"),
        "{nested}"
    );
    assert_eq!(problems.len(), expected.len() + 1, "{problems:#?}");
}

#[test]
fn what_is_no_toml_has_its_place_too() {
    let problems = Given::file("[server]\nlisten = \n").problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with("inver.toml:2:10: not valid TOML: "),
        "{problems:?}"
    );

    let missing = Sources {
        file: Some("/nowhere/inver.toml".into()),
        ..Sources::default()
    };
    let problems = load(&missing).expect_err("no file").to_string();
    assert!(problems.contains("/nowhere/inver.toml"), "{problems}");
    assert!(problems.contains("cannot read the file"), "{problems}");
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    for (file, expected) in [
        (
            "[tls]\ncertificate = 'a'",
            "inver.toml:2:1: tls.certificate: needs tls.key",
        ),
        (
            "[tls]\nkey = 'a'",
            "inver.toml:2:1: tls.key: needs tls.certificate",
        ),
        (
            "tls = { certificate = 'a', key = 'b', self_signed = true }",
            "inver.toml:1:39: tls.self_signed: contradicts tls.certificate",
        ),
        (
            "[acme]\ndomains = 'a.example'\n[tls]\nself_signed = true",
            "inver.toml:2:1: acme.domains: contradicts",
        ),
        (
            "[acme]\ndomains = '*.example.com'",
            "inver.toml:2:1: acme.domains: `*.example.com` has a wild",
        ),
        (
            "[acme]\ndomains = '192.0.2.1'",
            "inver.toml:2:1: acme.domains: `192.0.2.1` is an addr",
        ),
        (
            "[server]\nlisten = []",
            "inver.toml:2:1: server.listen: must name at least one",
        ),
        (
            "[server]\nhttp_redirect = ':80'",
            "inver.toml:2:1: server.http_redirect: redirects to",
        ),
        (
            "[server]\nlisten = ':80'\n[rooms]\nopen = true",
            "inver.toml:4:1: rooms.open: rooms without keys are for this machine only",
        ),
        (
            "[webrtc]\nport = 65535\nshards = 2",
            "inver.toml:2:1: webrtc.port: the last shard would",
        ),
        (
            "[limits]\nconnections = 0",
            "inver.toml:2:1: limits.connections: must be at least 1",
        ),
        (
            "[[webrtc.ice_servers]]\nurls = 'turn:a'",
            "inver.toml:1:10: webrtc.ice_servers: a TURN entry has either",
        ),
        (
            "[[webrtc.ice_servers]]\nurls = 'http://a'",
            "inver.toml:1:10: webrtc.ice_servers: `http://a` is no ICE server",
        ),
        (
            "[auth]\nadmin_token = 'short'",
            "inver.toml:2:1: auth.admin_token: is shorter than 16",
        ),
        (
            "[service]\nurl = 'https://a.example'",
            "inver.toml:2:1: service.url: is asked by nobody",
        ),
        (
            "[service]\nkind = 'webhook'\nurl = 'https://a.example'",
            "inver.toml:1:1: service.secret: service.kind = \"webhook\" needs it",
        ),
        (
            "[service]\nkind = 'graphql'\nurl = 'ftp://a.example'\nclient_id = 'a'\n\
             client_secret = 'b'",
            "inver.toml:3:1: service.url: the URL of a service has the scheme \"ftp\"",
        ),
        (
            "[service]\ndeadline = '1m'",
            "inver.toml:2:1: service.deadline: the deadline of a service is 60s",
        ),
        (
            "[service]\nreport_interval = '900ms'",
            "inver.toml:2:1: service.report_interval: is shorter than 1s",
        ),
        (
            "[service]\nsecret = 'hunter2'",
            "inver.toml:2:1: service.secret: secret 1 does not begin with whsec_",
        ),
        (
            "[hooks]\nurls = 'https://a.example'",
            "inver.toml:1:1: hooks.secret: hooks.urls needs it",
        ),
        (
            "[hooks]\nurls = 'http://127.0.0.1/'\n\
             secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'",
            "inver.toml:2:1: hooks.urls: the URL of a service names 127.0.0.1",
        ),
        (
            "[log]\nlevel = 'loud=very'",
            "inver.toml:2:1: log.level: `loud=very` is no level",
        ),
        (
            "[recording_s3]\nregion = 'here'\nendpoint = 'https://host'",
            "inver.toml:3:1: recording_s3.endpoint: means nothing without a bucket",
        ),
        (
            "[recording_s3]\nbucket = 'a'\nsecret_access_key = 'secret'",
            "inver.toml:1:1: recording_s3.access_key_id: is needed with a bucket",
        ),
        (
            "[recording_s3]\nbucket = 'a'\nendpoint = 'host:9000'\n\
             access_key_id = 'key'\nsecret_access_key = 'secret'",
            "inver.toml:3:1: recording_s3.endpoint: must begin with https://",
        ),
    ] {
        let problems = Given::file(file).problems();
        assert_eq!(problems.len(), 1, "{file}: {problems:?}");
        assert!(problems[0].starts_with(expected), "{file}: {problems:?}");
    }
}

#[test]
fn rooms_are_open_only_while_nobody_else_comes_in() {
    for (file, expected) in [
        ("", Openness::Open),
        (
            "server.listen = ['127.0.0.1:80', '[::1]:80']",
            Openness::Open,
        ),
        (
            "server.listen = ['127.0.0.1:80', '192.0.2.1:80']",
            Openness::KeyedByListener,
        ),
        ("server.listen = ':80'", Openness::KeyedByListener),
        (
            "acme.domains = 'live.example.com'",
            Openness::KeyedByListener,
        ),
        (
            "server.public_url = 'https://live.example.com'",
            Openness::KeyedByProxy,
        ),
        ("server.public_url = 'http://localhost:1'", Openness::Open),
        (
            "server.trusted_proxies = '127.0.0.1'",
            Openness::KeyedByProxy,
        ),
        (
            "server.trusted_proxies = '127.0.0.1'\nrooms.open = true",
            Openness::Open,
        ),
        ("rooms.open = false", Openness::KeyedByChoice),
    ] {
        assert_eq!(Given::file(file).config().openness(), expected, "{file}");
    }
}

#[test]
fn orchestrators_variables_are_not_keys() {
    let config = Given::file("")
        .environment("INVER_SERVICE_HOST", "10.0.0.1")
        .environment("INVER_SERVICE_PORT", "8080")
        .environment("INVER_SERVICE_PORT_HTTP", "8080")
        .environment("INVER_PORT", "tcp://10.0.0.1:8080")
        .environment("INVER_PORT_8080_TCP_ADDR", "10.0.0.1")
        .config();
    assert_eq!(config, Config::default());
}

#[test]
fn the_environment_can_name_the_file() {
    let given = Given::file("log.level = 'warn'");
    let path = given.sources.file.clone().expect("was set");
    let sources = Sources {
        environment: vec![(OsString::from("INVER_CONFIG"), path.clone().into())],
        ..Sources::default()
    };
    let loaded = load(&sources).expect("a right configuration");
    assert_eq!(loaded.config.log.level, "warn");
    assert_eq!(loaded.file, Some(path));
}

#[test]
fn secrets_are_never_shown() {
    let given = Given::file(
        "auth.admin_token = 'correct horse battery'\n[[webrtc.ice_servers]]\nurls = 'turn:a'\n\
         secret = 'staple'",
    );
    let loaded = load(&given.sources).expect("a right configuration");
    let shown = format!("{loaded:?}\n{}", effective(&loaded));
    assert!(
        !shown.contains("horse") && !shown.contains("staple"),
        "{shown}"
    );
    assert!(
        effective(&loaded).contains("admin_token = \"(hidden)\" # "),
        "{shown}"
    );

    let problems = Given::file("auth.admin_token = ['correct horse']").problems();
    assert!(!problems[0].contains("horse"), "{problems:?}");
    let problems = Given::file("")
        .environment("INVER_AUTH__ADMIN_TOKEN", "horse")
        .problems();
    assert!(!problems[0].contains("horse"), "{problems:?}");
}

#[test]
fn the_storage_of_recordings_takes_its_secret_from_the_environment() {
    let given =
        Given::file("[recording_s3]\nbucket = 'kept'\naccess_key_id = 'key'\nprefix = 'live'")
            .environment("INVER_RECORDING_S3__SECRET_ACCESS_KEY", "battery horse")
            .environment("INVER_RECORDING_S3__DELETE_LOCAL", "true");
    let config = given.config();
    assert!(config.recording_s3.delete_local);
    let recordings = config.recordings().expect("settings that can be");
    assert!(recordings.bucket.is_some());
    let printed = effective(&load(&given.sources).expect("a right configuration"));
    assert!(printed.contains("bucket = \"kept\""), "{printed}");
    for shown in [printed, format!("{config:?}"), format!("{recordings:?}")] {
        assert!(!shown.contains("battery"), "{shown}");
    }
    assert!(
        Config::default()
            .recordings()
            .expect("none")
            .bucket
            .is_none()
    );
}

#[test]
fn a_service_and_hooks_come_to_what_their_keys_say() {
    const ONE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const TWO: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx";
    let config = Given::file(
        "[service]\nkind = 'webhook'\nurl = 'http://10.0.0.1/a?token=horse'\n\
         allow_private = true\ndeadline = '500ms'\nwhen_down = 'allow'\nviewers = false\n\
         thumbnails = true\nreport_interval = '10s'\nat_limit = 'end'\n[hooks]\nurls = ['https://a.example', \
         'https://b.example']",
    )
    .environment("INVER_SERVICE__SECRET", &format!("{ONE},{TWO}"))
    .environment("INVER_HOOKS__SECRET", ONE)
    .config();
    let services = config.services();
    let Decider::Webhook(webhook) = services.decider else {
        panic!("{:?}", services.decider);
    };
    assert_eq!(webhook.url.reveal(), "http://10.0.0.1/a?token=horse");
    let secrets: Vec<&str> = webhook.secrets.iter().map(|s| s.reveal()).collect();
    assert_eq!(secrets, [ONE, TWO]);
    assert!(webhook.allow_private && !webhook.viewers && webhook.thumbnails);
    assert_eq!(webhook.deadline, Duration::from_millis(500));
    assert_eq!(webhook.when_down, inver_service::WhenDown::Allow);
    let hooks: Vec<&str> = services
        .hooks
        .iter()
        .map(|hook| hook.url.reveal())
        .collect();
    assert_eq!(hooks, ["https://a.example", "https://b.example"]);
    assert_eq!(config.reports().interval, Duration::from_secs(10));
    assert_eq!(config.reports().at_limit, inver_service::AtLimit::End);
    assert!(!format!("{config:?}").contains("horse"), "{config:?}");
}

#[test]
fn what_is_printed_can_be_loaded_again() {
    let given = Given::file("server.listen = ':80'\nrooms.grace = '90s'\nlog.format = 'json'");
    let printed = effective(&load(&given.sources).expect("a right configuration"));
    assert_eq!(Given::file(&printed).config(), given.config(), "{printed}");
}

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../inver.example.toml");
    std::fs::read_to_string(path).expect("the example file is in the repository")
}

/// The example with its keys in force: `#key = value` is one, `# text` is not.
fn uncommented() -> String {
    let is_key = |rest: &str| rest.starts_with(|first: char| first.is_ascii_lowercase());
    example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if is_key(rest) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn the_example_has_every_key_once_and_no_other() {
    let table: toml::Table = toml::from_str(&uncommented()).expect("valid TOML without repeats");
    for (section, keys) in SECTIONS.iter() {
        let values = table[*section].as_table().expect("a section");
        let known: BTreeSet<&str> = keys.iter().copied().collect();
        let listed: BTreeSet<&str> = values.keys().map(String::as_str).collect();
        assert_eq!(listed, known, "[{section}]");
    }
    assert_eq!(table.len(), SECTIONS.len());
}

#[test]
fn the_example_changes_nothing_as_it_is() {
    assert_eq!(Given::file(&example()).config(), Config::default());
}

#[test]
fn the_example_shows_the_defaults() {
    let shown: Config = toml::from_str(&uncommented()).expect("values of the right types");
    let shown = toml::Table::try_from(&shown).expect("serialises");
    let defaults = toml::Table::try_from(Config::default()).expect("serialises");
    for (section, keys) in &defaults {
        for (key, value) in keys.as_table().expect("a section") {
            assert_eq!(&shown[section][key], value, "{section}.{key}");
        }
    }
}
