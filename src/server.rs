//! The composition root: opens everything, serves it, and lets it finish.
//!
//! Bounds: connections over all transports, time to drain.
//! Invariant: whatever fails to open is an error before the first connection is accepted; once told
//! to stop, nothing new is accepted and running work gets the drain time, not more.
//! Not here: flags, signals and systemd (`cli`).

use std::{
    fs, io,
    io::Write as _,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api,
    auth::{Authenticator, secrets::ServerSecret},
    config::{Config, Fetch, Limits, Listen},
    disk, git,
    hosting::{BootstrapError, Hosting, HostingError, bootstrap},
    http::{self, Accepting, GitState, Readiness, TlsError, TlsSource},
    mirror::Mirrors,
    outbound::{CertificatesError, Outbound, Reach},
    ssh::{self, HostKeyError, SshState},
    store::Store,
    wire::{self, Wire},
};

/// Sockets that are bound already.
#[derive(Debug, Default)]
pub struct Listeners {
    /// Plain HTTP.
    pub http: Option<TcpListener>,
    /// HTTPS.
    pub https: Option<TcpListener>,
    /// SSH.
    pub ssh: Option<TcpListener>,
}

impl Listeners {
    /// Binds what the configuration asks for and `self` does not hold yet.
    ///
    /// # Errors
    /// When an address can't be bound.
    pub async fn complete(mut self, config: &Config) -> Result<Self, ServerError> {
        if let (None, Listen::At(address)) = (&self.http, &config.http) {
            self.http = Some(bind(address).await?);
        }
        if let (None, Some((address, _))) = (&self.https, &config.https) {
            self.https = Some(bind(address).await?);
        }
        if let (None, Listen::At(address)) = (&self.ssh, &config.ssh) {
            self.ssh = Some(bind(address).await?);
        }
        Ok(self)
    }
}

async fn bind(address: &str) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServerError::Bind {
            address: address.to_owned(),
            source,
        })
}

/// Where a server is reached; the ready file holds it as JSON.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
pub struct Addresses {
    /// `ip:port` of HTTP.
    pub http: Option<SocketAddr>,
    /// `ip:port` of HTTPS.
    pub https: Option<SocketAddr>,
    /// `ip:port` of SSH.
    pub ssh: Option<SocketAddr>,
    /// The server's process.
    pub pid: u32,
}

impl Addresses {
    /// Name of the file in the data folder that tells `packhorse admin` where the server is.
    pub const FILE: &str = "server.json";

    /// The URL of the HTTP side, HTTPS first; `None` if neither listens.
    pub fn url(&self) -> Option<String> {
        let plain = self.http.map(|address| format!("http://{address}"));
        self.https
            .map(|address| format!("https://{address}"))
            .or(plain)
    }

    /// Writes them as JSON, whole or not at all.
    fn write(&self, path: &Path) -> Result<(), ServerError> {
        let failed = |source| ServerError::ReadyFile {
            path: path.to_owned(),
            source,
        };
        let draft = path.with_extension("new");
        let text = serde_json::to_string(self).map_err(|error| failed(error.into()))?;
        let mut file = fs::File::create(&draft).map_err(failed)?;
        writeln!(file, "{text}").map_err(failed)?;
        fs::rename(&draft, path).map_err(failed)
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address can't be bound.
    #[error("can't listen at {address}")]
    Bind {
        /// As configured.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A bound socket does not tell its address.
    #[error("can't use a socket")]
    Socket(#[source] io::Error),
    /// The store can't be opened, or another server has it open.
    #[error(transparent)]
    Store(#[from] crate::store::OpenError),
    /// The secrets of the data folder can't be read or made.
    #[error("can't make the data folder ready")]
    Bootstrap(#[from] BootstrapError),
    /// The folder of all repositories can't be made.
    #[error("can't make folder {path:?}")]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What an earlier run left behind can't be removed.
    #[error("can't clean up after an earlier run")]
    Leftovers(#[from] HostingError),
    /// The opening of the data broke.
    #[error("opening the data folder was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
    /// The certificates that others are trusted by can't be read.
    #[error("can't call other servers")]
    Outbound(#[from] CertificatesError),
    /// There is no host key.
    #[error("can't serve SSH")]
    HostKey(#[from] HostKeyError),
    /// There is no certificate.
    #[error("can't serve HTTPS")]
    Tls(#[from] TlsError),
    /// The file with the addresses can't be written.
    #[error("can't write {path:?}")]
    ReadyFile {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nothing to serve.
    #[error("neither HTTP, HTTPS nor SSH is to be served")]
    NothingToServe,
}

/// Opens store and repositories, and removes what an earlier run did not finish.
async fn open_data(data: &Path, limits: &Limits) -> Result<(Hosting, ServerSecret), ServerError> {
    let folder = data.to_owned();
    let store = tokio::task::spawn_blocking(move || Store::open(&folder)).await??;
    let secret = bootstrap(data, &store).await?.secret;
    let folder = data.join("repositories");
    disk::make_folder(&folder).map_err(|source| ServerError::Folder {
        path: folder.clone(),
        source,
    })?;
    let capacity = NonZeroUsize::new(limits.open_repositories).unwrap_or(NonZeroUsize::MIN);
    let memory = git::Memory::new(limits.working_memory_bytes);
    let repositories = git::Repositories::new(&folder, capacity).sharing(memory);
    let repositories = Arc::new(repositories);
    let hosting = Hosting::new(store, repositories, secret.clone())
        .bounding_refs(limits.repository_refs)
        .with_receive_limits(wire::receive_limits(limits))
        .with_computations(limits.computations);
    let sweeping = hosting.clone();
    let removed = tokio::task::spawn_blocking(move || sweeping.remove_orphans(&folder)).await??;
    if removed > 0 {
        tracing::info!(removed, "removed folders that no repository owns");
    }
    Ok((hosting, secret))
}

/// A server that has opened everything and serves nothing yet.
pub struct Server {
    addresses: Addresses,
    listeners: Listeners,
    tls: Option<TlsSource>,
    host_key: Option<russh::keys::PrivateKey>,
    hosting: Hosting,
    outbound: Outbound,
    authenticator: Authenticator,
    limits: Arc<Limits>,
    fetch: Fetch,
    config: Config,
}

impl Server {
    /// Opens data, keys and certificates, and binds what is not bound yet.
    ///
    /// # Errors
    /// When anything can't be opened; the data folder is unlocked again then.
    pub async fn open(config: Config, listeners: Listeners) -> Result<Self, ServerError> {
        let listeners = listeners.complete(&config).await?;
        let address = |listener: &Option<TcpListener>| {
            listener
                .as_ref()
                .map(TcpListener::local_addr)
                .transpose()
                .map_err(ServerError::Socket)
        };
        let addresses = Addresses {
            http: address(&listeners.http)?,
            https: address(&listeners.https)?,
            ssh: address(&listeners.ssh)?,
            pid: std::process::id(),
        };
        if addresses.url().is_none() && addresses.ssh.is_none() {
            return Err(ServerError::NothingToServe);
        }
        let tls = config
            .https
            .as_ref()
            .map(|(_, tls)| TlsSource::open(tls.clone()))
            .transpose()?;
        let outbound = Outbound::new(&Reach {
            private: config.allow_private_targets,
            certificates: config.outbound_ca.clone(),
        })?;
        let limits = Arc::new(config.limits.clone());
        let (hosting, secret) = open_data(&config.data, &limits).await?;
        let host_key = match addresses.ssh {
            Some(_) => Some(ssh::host_key(&config.data)?),
            None => None,
        };
        Ok(Self {
            authenticator: Authenticator::new(hosting.store().clone(), secret),
            addresses,
            listeners,
            tls,
            host_key,
            hosting,
            outbound,
            limits,
            fetch: config.fetch,
            config,
        })
    }

    /// Where it will be reached.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The certificate, to be read again on demand.
    pub fn tls(&self) -> Option<TlsSource> {
        self.tls.clone()
    }

    /// What it manages.
    pub fn hosting(&self) -> &Hosting {
        &self.hosting
    }

    /// Base of the URLs that people see.
    pub fn public_url(&self) -> String {
        let made = || self.addresses.url().unwrap_or_default();
        self.config.public_url.clone().unwrap_or_else(made)
    }

    /// Serves until told to stop and then lets running work finish within the drain time.
    ///
    /// # Errors
    /// When the ready file can't be written or a listener breaks.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ServerError> {
        let tasks = TaskTracker::new();
        let accepting = Accepting {
            connections: Arc::new(Semaphore::new(self.limits.connections)),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let wire = Wire::new(self.hosting.clone(), Arc::clone(&self.limits), self.fetch);
        let store = self.hosting.store().clone();
        let readiness = Readiness::new(move || store.has_failed());
        let git = GitState {
            wire: wire.clone(),
            authenticator: self.authenticator.clone(),
            limits: Arc::clone(&self.limits),
            tasks: tasks.clone(),
        };
        let mirrors = Mirrors::new(
            self.hosting.clone(),
            self.outbound.clone(),
            wire::receive_limits(&self.limits),
            tasks.clone(),
            stop.clone(),
        );
        let apis = api::router(
            self.hosting.clone(),
            self.authenticator.clone(),
            mirrors,
            self.public_url(),
            api::Limits {
                body_bytes: self.limits.api_request_bytes,
                upload: api::UploadLimits {
                    bytes: self.limits.commit_bytes,
                    files: self.limits.commit_files,
                    idle: self.limits.idle_timeout(),
                    total: self.limits.total_timeout(),
                },
            },
        );
        http::metrics_handle();
        let router = http::router(git, readiness.clone(), apis);
        let header_timeout = Duration::from_secs(self.limits.http_header_seconds);
        let mut served = tokio::task::JoinSet::new();
        if let Some(listener) = self.listeners.http {
            served.spawn(http::serve(
                listener,
                None,
                router.clone(),
                header_timeout,
                accepting.clone(),
            ));
        }
        if let (Some(listener), Some(tls)) = (self.listeners.https, self.tls) {
            served.spawn(http::serve(
                listener,
                Some(tls),
                router,
                header_timeout,
                accepting.clone(),
            ));
        }
        if let (Some(listener), Some(key)) = (self.listeners.ssh, self.host_key) {
            let state = SshState {
                wire,
                authenticator: self.authenticator,
                limits: Arc::clone(&self.limits),
            };
            served.spawn(ssh::serve(listener, key, state, accepting.clone()));
        }
        self.addresses
            .write(&self.config.data.join(Addresses::FILE))?;
        if let Some(path) = &self.config.ready_file {
            self.addresses.write(path)?;
        }
        readiness.set(true);
        tracing::info!(addresses = ?self.addresses, "ready");
        let mut outcome = Ok(());
        while let Some(ended) = served.join_next().await {
            // Told to stop, or one listener failed: all go down together.
            stop.cancel();
            readiness.set(false);
            if let Ok(Err(error)) = ended {
                outcome = Err(ServerError::Socket(error));
            }
        }
        tasks.close();
        let drain = Duration::from_secs(self.limits.drain_seconds);
        if tokio::time::timeout(drain, tasks.wait()).await.is_err() {
            tracing::warn!(open = tasks.len(), "connections outlived the drain time");
        }
        outcome
    }
}
