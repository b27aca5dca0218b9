//! `packhorse serve`: configuration, sockets from systemd, signals, and the words at start.
//!
//! Source: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3).
//! Invariant: READY=1 is sent once everything listens and not before; SIGHUP never ends the server.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use sd_notify::NotifyState;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    config::{Config, LogFormat, Settings},
    http::TlsSource,
    server::{Listeners, Server},
};

/// Flags of `packhorse serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: Settings,
    /// TOML file with the same keys and a [limits] table
    #[arg(long, value_name = "F", env = "PACKHORSE_CONFIG")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let file = match &self.config {
            Some(path) => Settings::from_file(path)?,
            None => Settings::default(),
        };
        let config = self.settings.over(file).check()?;
        log_to_stderr(config.log_format);
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("can't start the runtime")?
            .block_on(serve(config))
    }
}

fn log_to_stderr(format: LogFormat) {
    let filter =
        EnvFilter::try_from_env("PACKHORSE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let listeners = handed_over().context("can't take over the sockets of systemd")?;
    let stop = CancellationToken::new();
    let data = config.data.clone();
    let server = Server::open(config, listeners).await?;
    watch_signals(stop.clone(), server.tls())?;
    greet(&server, &data)?;
    let _watchdog = watchdog(&stop);
    let running = server.run(stop.clone());
    tell_systemd(NotifyState::Ready);
    running.await?;
    Ok(())
}

/// The listening sockets that systemd passes, told apart by their names.
fn handed_over() -> io::Result<Listeners> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut passed = listenfd::ListenFd::from_env();
    let mut listeners = Listeners::default();
    for (at, name) in names.split(':').enumerate().take(passed.len()) {
        let Some(listener) = passed.take_tcp_listener(at)? else {
            continue;
        };
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        match name {
            "http" => listeners.http = Some(listener),
            "https" => listeners.https = Some(listener),
            "ssh" => listeners.ssh = Some(listener),
            other => {
                let message = format!("socket name {other:?} is none of http, https, ssh");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        }
    }
    Ok(listeners)
}

/// SIGTERM and SIGINT stop the server, SIGHUP reads the certificate again.
fn watch_signals(stop: CancellationToken, tls: Option<TlsSource>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => match tls.as_ref().map(TlsSource::reload) {
                    Some(Ok(())) => tracing::info!("certificate read again"),
                    Some(Err(error)) => tracing::error!(%error, "the old certificate stays in use"),
                    None => tracing::info!("nothing to read again"),
                },
            }
        }
        tracing::info!("stopping");
        tell_systemd(NotifyState::Stopping);
        stop.cancel();
    });
    Ok(())
}

fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd can't be told");
    }
}

/// Tells systemd that the runtime still turns, twice in each period that it allows.
fn watchdog(stop: &CancellationToken) -> Option<tokio::task::JoinHandle<()>> {
    let period = sd_notify::watchdog_enabled()? / 2;
    let stop = stop.clone();
    Some(tokio::spawn(async move {
        let mut beat = tokio::time::interval(period);
        while !stop.is_cancelled() {
            beat.tick().await;
            tell_systemd(NotifyState::Watchdog);
        }
    }))
}

/// Says where the server listens and what to do first.
fn greet(server: &Server, data: &std::path::Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let data = data.display();
    writeln!(
        out,
        "packhorse {} keeps its data in {data}",
        env!("CARGO_PKG_VERSION")
    )?;
    let addresses = server.addresses();
    let url = server.public_url();
    if !url.is_empty() {
        writeln!(out, "  HTTP         {url}")?;
    }
    if let Some(ssh) = addresses.ssh {
        writeln!(out, "  SSH          ssh://git@{ssh}")?;
    }
    writeln!(out, "  admin token  {data}/admin-token")?;
    if let Some((scheme, host)) = url.split_once("://") {
        writeln!(out, "\nCreate, clone and push a first repository:")?;
        writeln!(
            out,
            "  packhorse admin --data {data} repo create admin/hello"
        )?;
        writeln!(
            out,
            "  git clone {scheme}://admin:$(cat {data}/admin-token)@{host}/admin/hello.git && cd hello"
        )?;
        writeln!(
            out,
            "  git switch -c main && git commit --allow-empty -m 'First' && git push -u origin main"
        )?;
    }
    out.flush()
}
