//! The command line. `inver` alone serves.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Flag, LogFormat, Sources};

/// A real-time media server: publish with WHIP, watch with WHEP.
#[derive(Debug, Parser)]
#[command(
    name = "inver",
    version,
    about,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "Without a command, inver serves. Every key of the configuration is also an \
                  environment variable: INVER_SECTION__KEY, or INVER_KEY for those of [server]."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of serving, when no command is named.
    #[command(flatten)]
    pub serve: Serve,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until Ctrl-C or SIGTERM.
    Serve(Box<Serve>),
    /// Say what is wrong with the configuration; exit code 1 if anything is.
    CheckConfig(Box<CheckConfig>),
    /// Publish synthetic media over WHIP, watch it over WHEP with many viewers, and measure.
    Bench(Box<inver_bench::Args>),
    /// Watch one LL-HLS stream with many players, and measure.
    BenchHls(Box<inver_bench::HlsArgs>),
    /// Print the version.
    Version,
}

/// `inver check-config`.
#[derive(Debug, Args)]
pub struct CheckConfig {
    /// The flags that serving would get.
    #[command(flatten)]
    pub serve: Serve,
    /// Print the effective configuration, with secrets hidden.
    #[arg(long)]
    pub print: bool,
}

/// Flags of serving: those keys that people set most. They override the environment, which
/// overrides the file.
#[derive(Debug, Default, Args)]
pub struct Serve {
    /// Configuration file [default: inver.toml of the working directory, if there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address of pages and APIs, may be repeated; `:8080` means all [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Vec<String>,
    /// Folder of everything that must survive a restart.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Address under which people reach the server, like https://live.example.com.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Path under which everything is served, like /live.
    #[arg(long, value_name = "PATH")]
    pub base_path: Option<String>,
    /// Network of a proxy whose forwarding headers are believed, may be repeated.
    #[arg(long, value_name = "NETWORK")]
    pub trusted_proxy: Vec<String>,
    /// Get a certificate for this domain and serve on port 443, may be repeated.
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Vec<String>,
    /// Where the certificate authority writes to.
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// PEM file with the certificate and its chain.
    #[arg(long, value_name = "FILE")]
    pub tls_certificate: Option<String>,
    /// PEM file with the private key.
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<String>,
    /// Serve https with a certificate made here: browsers warn once, then open cameras.
    #[arg(long)]
    pub self_signed: bool,
    /// UDP and TCP port of media [default: 7000].
    #[arg(long, value_name = "PORT")]
    pub media_port: Option<String>,
    /// Address for media that clients are told (NAT 1:1), may be repeated.
    #[arg(long, value_name = "IP")]
    pub advertise: Vec<String>,
    /// Number of media threads [default: one per core].
    #[arg(long, value_name = "N")]
    pub shards: Option<String>,
    /// How log lines are written.
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Log level, or a list of target=level [default: info].
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Print the link to the administration page even if this is not the first run.
    #[arg(long)]
    pub show_admin_link: bool,
}

impl Serve {
    /// The layers of the configuration: these flags above this process's environment.
    pub fn sources(&self) -> Sources {
        Sources {
            file: self.config.clone(),
            environment: std::env::vars_os().collect(),
            flags: self.flags(),
        }
    }

    fn flags(&self) -> Vec<Flag> {
        let one = |value: &Option<String>| value.iter().cloned().collect::<Vec<_>>();
        let format = self.log_format.map(|format| match format {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        });
        let self_signed = self.self_signed.then(|| "true".to_owned());
        [
            ("server", "listen", "--listen", self.listen.clone()),
            ("server", "data_dir", "--data-dir", one(&self.data_dir)),
            (
                "server",
                "public_url",
                "--public-url",
                one(&self.public_url),
            ),
            ("server", "base_path", "--base-path", one(&self.base_path)),
            (
                "server",
                "trusted_proxies",
                "--trusted-proxy",
                self.trusted_proxy.clone(),
            ),
            ("acme", "domains", "--domain", self.domain.clone()),
            ("acme", "email", "--email", one(&self.email)),
            (
                "tls",
                "certificate",
                "--tls-certificate",
                one(&self.tls_certificate),
            ),
            ("tls", "key", "--tls-key", one(&self.tls_key)),
            ("tls", "self_signed", "--self-signed", one(&self_signed)),
            ("webrtc", "port", "--media-port", one(&self.media_port)),
            ("webrtc", "advertise", "--advertise", self.advertise.clone()),
            ("webrtc", "shards", "--shards", one(&self.shards)),
            ("log", "format", "--log-format", one(&format)),
            ("log", "level", "--log-level", one(&self.log_level)),
        ]
        .into_iter()
        .filter(|(.., values)| !values.is_empty())
        .map(|(section, key, name, values)| Flag {
            section,
            key,
            name,
            values,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::config::keys_of;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_sets_a_key_that_exists() {
        let all = "inver --listen :1 --data-dir d --public-url u --base-path / --trusted-proxy n \
                   --domain d --email e --tls-certificate c --tls-key k --self-signed \
                   --media-port 1 --advertise a --shards 1 --log-format json --log-level info";
        let cli = Cli::try_parse_from(all.split_whitespace()).expect("parses");
        let flags = cli.serve.flags();
        assert_eq!(flags.len(), 15);
        for flag in flags {
            let keys = keys_of(flag.section).expect("the section exists");
            assert!(keys.contains(&flag.key), "{}.{}", flag.section, flag.key);
        }
    }

    #[test]
    fn serving_is_what_happens_without_a_command() {
        let cli = Cli::try_parse_from(["inver", "--listen", ":80"]).expect("parses");
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.listen, [":80"]);
        let cli = Cli::try_parse_from(["inver", "serve", "--listen", ":80"]).expect("parses");
        assert!(matches!(cli.command, Some(Command::Serve(serve)) if serve.listen == [":80"]));
    }
}
