//! Configuration: flags over environment over file over defaults, checked whole before anything opens.
//!
//! Source: the table in the README ("Configuration"), which names every key with its default.
//! Invariant: a [`Config`] is consistent; what contradicts itself never gets this far.
//! Not here: reading the command line (`cli`) and acting on any of it (`server`).

use std::{
    net::ToSocketAddrs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

/// What a flag, the environment or the file may set; everything is optional here.
#[derive(Debug, Clone, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder that holds everything the server keeps [default: ./packhorse-data]
    #[arg(long, value_name = "DIR", env = "PACKHORSE_DATA")]
    pub data: Option<PathBuf>,
    /// Address for HTTP, or `off` [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "PACKHORSE_HTTP")]
    pub http: Option<String>,
    /// Address for HTTPS; needs a certificate and its key [default: off]
    #[arg(long, value_name = "ADDR", env = "PACKHORSE_HTTPS")]
    pub https: Option<String>,
    /// PEM file with the certificate chain for HTTPS
    #[arg(long, value_name = "F", env = "PACKHORSE_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the private key for HTTPS
    #[arg(long, value_name = "F", env = "PACKHORSE_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Address for SSH, or `off` [default: 127.0.0.1:2222]
    #[arg(long, value_name = "ADDR", env = "PACKHORSE_SSH")]
    pub ssh: Option<String>,
    /// URL under which people reach the HTTP side [default: http:// and the HTTP address]
    #[arg(long, value_name = "URL", env = "PACKHORSE_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// File that gets the bound addresses as JSON once the server listens
    #[arg(long, value_name = "F", env = "PACKHORSE_READY_FILE")]
    pub ready_file: Option<PathBuf>,
    /// Let webhooks and mirrors dial private and loopback addresses
    #[arg(long, env = "PACKHORSE_ALLOW_PRIVATE_TARGETS")]
    #[serde(default)]
    pub allow_private_targets: bool,
    /// PEM file of the certificates that webhooks and mirrors trust servers by, instead of the system's
    #[arg(long, value_name = "F", env = "PACKHORSE_OUTBOUND_CA")]
    pub outbound_ca: Option<PathBuf>,
    /// Log lines as `text` or `json` [default: text]
    #[arg(long, value_name = "FORMAT", env = "PACKHORSE_LOG_FORMAT")]
    pub log_format: Option<String>,
    /// The `[limits]` table; only a file can set it.
    #[arg(skip)]
    #[serde(default)]
    pub limits: Limits,
    /// The `[fetch]` table; only a file can set it.
    #[arg(skip)]
    #[serde(default)]
    pub fetch: Fetch,
}

/// Where one transport listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Not at all.
    Off,
    /// `host:port`; port 0 lets the system choose.
    At(String),
}

/// Certificate and key for HTTPS, read again on SIGHUP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the chain.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder that holds everything.
    pub data: PathBuf,
    /// Plain HTTP.
    pub http: Listen,
    /// HTTPS, with what it needs.
    pub https: Option<(String, Tls)>,
    /// SSH.
    pub ssh: Listen,
    /// Base of URLs shown to people, without trailing slash; made from the bound address if absent.
    pub public_url: Option<String>,
    /// Gets the bound addresses.
    pub ready_file: Option<PathBuf>,
    /// Whether outbound requests may reach private addresses.
    pub allow_private_targets: bool,
    /// Certificates that outbound requests trust servers by, instead of the system's.
    pub outbound_ca: Option<PathBuf>,
    /// Form of the log.
    pub log_format: LogFormat,
    /// Bounds on everything that can grow.
    pub limits: Limits,
    /// What fetches may ask for.
    pub fetch: Fetch,
}

/// What a fetch may ask for beyond the refs it is shown.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Fetch {
    /// Which objects may be wanted by their ids.
    pub wants: Wants,
    /// Whether clients may have the whole answer multiplexed (version 2), so that progress and signs
    /// of life come before the pack, too.
    pub sideband_all: bool,
}

/// Which objects may be wanted by their ids.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Wants {
    /// Those that a ref shown to the caller names. Partial clones can't complete themselves.
    Advertised,
    /// Those, and what hidden refs name.
    Tips,
    /// All that the refs shown to the caller reach.
    #[default]
    Reachable,
    /// Whatever is in the repository, be it removed from all refs.
    Any,
}

/// Bounds on work and input. Units are in the names.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Fetches and pushes that may run at once, each kind for itself.
    pub server_slots: usize,
    /// The same for one repository.
    pub repository_slots: usize,
    /// The same for one caller.
    pub caller_slots: usize,
    /// Requests that may wait for a slot; one more is refused at once.
    pub queue_length: usize,
    /// Longest wait for a slot.
    pub queue_wait_seconds: u64,
    /// Object sets computed at once; streaming a finished one does not count.
    pub computations: usize,
    /// Longest silence of a peer in the middle of a conversation.
    pub idle_timeout_seconds: u64,
    /// Longest whole fetch or push.
    pub total_timeout_seconds: u64,
    /// Largest pack in one push.
    pub push_pack_bytes: u64,
    /// Most objects in one push.
    pub push_objects: u32,
    /// Most bytes that the objects of one push may inflate to.
    pub push_inflated_bytes: u64,
    /// Largest single object in a push, inflated.
    pub push_object_bytes: u64,
    /// Longest chain of deltas in a push.
    pub push_delta_depth: u32,
    /// Most entries of one tree in a push.
    pub push_tree_entries: usize,
    /// Most folders in each other that one push may bring.
    pub push_tree_depth: usize,
    /// Most refs that one push may move.
    pub push_commands: usize,
    /// Most options that one push may carry.
    pub push_options: usize,
    /// Most refs that a repository may have.
    pub repository_refs: u64,
    /// Most objects that one fetch may want, by id and by name together.
    pub fetch_wants: usize,
    /// Most objects that the client of one fetch may say it has.
    pub fetch_haves: usize,
    /// Largest body of an upload-pack request, inflated.
    pub fetch_request_bytes: u64,
    /// Largest body of a management request.
    pub api_request_bytes: usize,
    /// Largest body of a request that makes a commit.
    pub commit_bytes: u64,
    /// Most files in one such request.
    pub commit_files: usize,
    /// Connections at once, SSH and HTTP together.
    pub connections: usize,
    /// Time an SSH peer has to authenticate.
    pub ssh_handshake_seconds: u64,
    /// Time an SSH peer has, once authenticated, to run its first command.
    pub ssh_command_seconds: u64,
    /// Channels one SSH connection may have open.
    pub ssh_channels: usize,
    /// Keys one SSH connection may try.
    pub ssh_authentication_tries: usize,
    /// Time for all header lines of an HTTP request to arrive.
    pub http_header_seconds: u64,
    /// Time running work has to finish after the server was told to stop.
    pub drain_seconds: u64,
    /// Repositories kept open.
    pub open_repositories: usize,
    /// Memory that readers of objects share: what they remember, compare and have at hand beyond one
    /// mebibyte each.
    pub working_memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            server_slots: 128,
            repository_slots: 96,
            caller_slots: 96,
            queue_length: 1024,
            queue_wait_seconds: 60,
            computations: cores,
            idle_timeout_seconds: 120,
            total_timeout_seconds: 4 * 3600,
            push_pack_bytes: 8 << 30,
            push_objects: 12_000_000,
            push_inflated_bytes: 64 << 30,
            push_object_bytes: 2 << 30,
            push_delta_depth: 1000,
            push_tree_entries: 1_000_000,
            push_tree_depth: 2048,
            push_commands: 250_000,
            push_options: 100,
            repository_refs: 2_000_000,
            fetch_wants: 500_000,
            fetch_haves: 500_000,
            fetch_request_bytes: 32 << 20,
            api_request_bytes: 1 << 20,
            commit_bytes: 8 << 30,
            commit_files: 100_000,
            connections: 4096,
            ssh_handshake_seconds: 30,
            ssh_command_seconds: 30,
            ssh_channels: 8,
            ssh_authentication_tries: 20,
            http_header_seconds: 30,
            drain_seconds: 30,
            open_repositories: 512,
            working_memory_bytes: 256 << 20,
        }
    }
}

impl Limits {
    /// Longest wait for a slot.
    pub fn queue_wait(&self) -> Duration {
        Duration::from_secs(self.queue_wait_seconds)
    }

    /// Longest silence of a peer.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_seconds)
    }

    /// Longest whole conversation.
    pub fn total_timeout(&self) -> Duration {
        Duration::from_secs(self.total_timeout_seconds)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let counts = [
            ("server_slots", self.server_slots),
            ("repository_slots", self.repository_slots),
            ("caller_slots", self.caller_slots),
            ("computations", self.computations),
            ("connections", self.connections),
            ("ssh_channels", self.ssh_channels),
            ("ssh_authentication_tries", self.ssh_authentication_tries),
            ("open_repositories", self.open_repositories),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(ConfigError::ZeroLimit(name)),
            None => Ok(()),
        }
    }
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read the configuration {path:?}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML or has unknown keys.
    #[error("configuration {path:?} is not understood")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Not `host:port`, or the host has no address.
    #[error("address {0:?} is not host:port")]
    Address(String),
    /// HTTPS needs both files, and they need HTTPS.
    #[error("--https, --tls-cert and --tls-key go together")]
    IncompleteTls,
    /// Neither `text` nor `json`.
    #[error("log format {0:?} is neither text nor json")]
    LogFormat(String),
    /// Not an `http://` or `https://` URL.
    #[error("public URL {0:?} begins with neither http:// nor https://")]
    PublicUrl(String),
    /// A limit of none would stop everything.
    #[error("limit {0} must be at least 1")]
    ZeroLimit(&'static str),
}

impl Settings {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// When it can't be read, is no TOML or has keys that nothing knows.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// These settings, and where they are silent those of `lower`.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        Self {
            data: self.data.or(lower.data),
            http: self.http.or(lower.http),
            https: self.https.or(lower.https),
            tls_cert: self.tls_cert.or(lower.tls_cert),
            tls_key: self.tls_key.or(lower.tls_key),
            ssh: self.ssh.or(lower.ssh),
            public_url: self.public_url.or(lower.public_url),
            ready_file: self.ready_file.or(lower.ready_file),
            allow_private_targets: self.allow_private_targets || lower.allow_private_targets,
            outbound_ca: self.outbound_ca.or(lower.outbound_ca),
            log_format: self.log_format.or(lower.log_format),
            limits: lower.limits,
            fetch: lower.fetch,
        }
    }

    /// Fills in defaults and checks everything.
    ///
    /// # Errors
    /// When a value is not understood or values contradict each other; nothing was opened.
    pub fn check(self) -> Result<Config, ConfigError> {
        let https = match (
            self.https.as_deref().map(listen).transpose()?,
            self.tls_cert,
            self.tls_key,
        ) {
            (None | Some(Listen::Off), None, None) => None,
            (Some(Listen::At(address)), Some(certificate), Some(key)) => {
                Some((address, Tls { certificate, key }))
            }
            _ => return Err(ConfigError::IncompleteTls),
        };
        self.limits.check()?;
        Ok(Config {
            data: self.data.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA)),
            http: listen(self.http.as_deref().unwrap_or(DEFAULT_HTTP))?,
            https,
            ssh: listen(self.ssh.as_deref().unwrap_or(DEFAULT_SSH))?,
            public_url: self.public_url.map(public_url).transpose()?,
            ready_file: self.ready_file,
            allow_private_targets: self.allow_private_targets,
            outbound_ca: self.outbound_ca,
            log_format: match self.log_format.as_deref() {
                None | Some("text") => LogFormat::Text,
                Some("json") => LogFormat::Json,
                Some(other) => return Err(ConfigError::LogFormat(other.to_owned())),
            },
            limits: self.limits,
            fetch: self.fetch,
        })
    }
}

/// Where the data lies if nobody says otherwise.
pub const DEFAULT_DATA: &str = "./packhorse-data";
/// Where HTTP listens if nobody says otherwise.
pub const DEFAULT_HTTP: &str = "127.0.0.1:8080";
/// Where SSH listens if nobody says otherwise.
pub const DEFAULT_SSH: &str = "127.0.0.1:2222";

fn listen(address: &str) -> Result<Listen, ConfigError> {
    if address == "off" {
        return Ok(Listen::Off);
    }
    let resolves = address
        .to_socket_addrs()
        .is_ok_and(|mut addresses| addresses.next().is_some());
    if !resolves {
        return Err(ConfigError::Address(address.to_owned()));
    }
    Ok(Listen::At(address.to_owned()))
}

fn public_url(url: String) -> Result<String, ConfigError> {
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(ConfigError::PublicUrl(url));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_need_nothing() {
        let config = Settings::default().check().unwrap();
        assert_eq!(config.data, Path::new(DEFAULT_DATA));
        assert_eq!(config.http, Listen::At(DEFAULT_HTTP.to_owned()));
        assert_eq!(config.ssh, Listen::At(DEFAULT_SSH.to_owned()));
        assert_eq!(config.https, None);
    }

    #[test]
    fn flags_win_over_the_file_and_unknown_keys_are_refused() {
        let file: Settings =
            toml::from_str("http = \"off\"\nssh = \"127.0.0.1:1\"\n[limits]\nserver_slots = 3")
                .unwrap();
        let flags = Settings {
            ssh: Some("127.0.0.1:0".to_owned()),
            ..Settings::default()
        };
        let config = flags.over(file).check().unwrap();
        assert_eq!(config.http, Listen::Off);
        assert_eq!(config.ssh, Listen::At("127.0.0.1:0".to_owned()));
        assert_eq!(config.limits.server_slots, 3);
        assert_eq!(config.fetch, Fetch::default());
        let file: Settings =
            toml::from_str("[fetch]\nwants = \"tips\"\nsideband_all = true").unwrap();
        let config = Settings::default().over(file).check().unwrap();
        assert_eq!(config.fetch.wants, Wants::Tips);
        assert!(config.fetch.sideband_all);
        assert!(toml::from_str::<Settings>("[fetch]\nwants = \"all\"").is_err());
        assert!(toml::from_str::<Settings>("htpp = \"off\"").is_err());
        assert!(toml::from_str::<Settings>("[limits]\nslots = 1").is_err());
    }

    #[test]
    fn contradictions_are_refused() {
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert_eq!(
            with(|s| s.http = Some("nowhere".into())),
            "address \"nowhere\" is not host:port"
        );
        assert_eq!(
            with(|s| s.https = Some("127.0.0.1:0".into())),
            "--https, --tls-cert and --tls-key go together"
        );
        assert_eq!(
            with(|s| s.tls_key = Some("k".into())),
            "--https, --tls-cert and --tls-key go together"
        );
        assert_eq!(
            with(|s| s.limits.connections = 0),
            "limit connections must be at least 1"
        );
        assert_eq!(
            with(|s| s.public_url = Some("git.example".into())),
            "public URL \"git.example\" begins with neither http:// nor https://"
        );
        assert_eq!(
            with(|s| s.log_format = Some("xml".into())),
            "log format \"xml\" is neither text nor json"
        );
    }
}
