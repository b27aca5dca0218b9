//! What an SSH peer may ask of its session: `GIT_PROTOCOL`, one Git command a channel, a greeting.
//!
//! Bounds: channels a connection; of the environment only `GIT_PROTOCOL`, at most
//! [`MAX_GIT_PROTOCOL`] bytes.
//! Invariant: no callback waits for Git work; each command runs in a task of its own, since russh
//! stalls the whole connection while a callback runs.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use packhorse_protocol::{
    Version,
    exec::{ExecLine, Service},
};
use russh::{
    Channel, ChannelId, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelWriteHalf,
    server::{
        Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session as Connection,
        VerifiedPublicKey,
    },
};
use tokio::sync::{Notify, oneshot};
use tokio_util::{io::StreamReader, task::TaskTracker};

use super::SshState;
use crate::{
    model::Caller,
    wire::{Conversation, Disconnected, Input, Output, WireError},
};

/// Longest `GIT_PROTOCOL` value, in bytes.
const MAX_GIT_PROTOCOL: usize = 256;
/// Exit status after a refusal or failure, as git's own programs use it.
const FAILURE: u32 = 128;

/// The peer's side of one connection.
pub(super) struct Session {
    state: SshState,
    address: SocketAddr,
    tasks: TaskTracker,
    /// The Git commands of this connection that still run.
    work: TaskTracker,
    /// Notified whenever one begins.
    begun: Arc<Notify>,
    authenticated: Option<oneshot::Sender<()>>,
    caller: Option<Arc<Caller>>,
    channels: HashMap<ChannelId, Waiting>,
}

/// A channel that is open; once a command runs on it, the command has the channel itself.
struct Waiting {
    channel: Option<Channel<Msg>>,
    version: Version,
}

impl Session {
    pub(super) fn new(
        state: SshState,
        address: SocketAddr,
        tasks: TaskTracker,
        authenticated: oneshot::Sender<()>,
    ) -> Self {
        let work = TaskTracker::new();
        work.close();
        Self {
            state,
            address,
            tasks,
            work,
            begun: Arc::default(),
            authenticated: Some(authenticated),
            caller: None,
            channels: HashMap::new(),
        }
    }

    /// The connection's running commands.
    pub(super) fn work(&self) -> TaskTracker {
        self.work.clone()
    }

    /// Is notified whenever a command begins.
    pub(super) fn begun(&self) -> Arc<Notify> {
        Arc::clone(&self.begun)
    }

    /// Runs a command beside the connection.
    fn spawn(&self, command: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.work.track_future(command));
        self.begun.notify_one();
    }

    /// Ends a channel with a line for people, on stderr so that git shows it as it is.
    fn spawn_message(&self, channel: Channel<Msg>, message: String, status: u32) {
        let patience = self.state.limits.idle_timeout();
        self.spawn(async move {
            let (_, mut writer) = channel.split();
            finish(&mut writer, Some(message), status, patience).await;
        });
    }
}

impl Handler for Session {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        match self.state.authenticator.ssh_key_offered(offer.public_key) {
            Ok(true) => Ok(Auth::Accept),
            Ok(false) => Ok(Auth::reject()),
            Err(error) => {
                tracing::error!(%error, "keys can't be looked up");
                Ok(Auth::reject())
            }
        }
    }

    async fn auth_publickey(
        &mut self,
        _user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        let address = self.address.ip();
        match self
            .state
            .authenticator
            .ssh_key_proven(key.public_key, Some(address))
        {
            Ok(caller) => {
                self.caller = Some(Arc::new(caller));
                if let Some(authenticated) = self.authenticated.take() {
                    // The receiver is gone only when the connection is ending anyway.
                    authenticated.send(()).ok();
                }
                Ok(Auth::Accept)
            }
            Err(error) => {
                tracing::info!(%address, %error, "key refused");
                Ok(Auth::reject())
            }
        }
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Connection,
    ) -> Result<(), russh::Error> {
        if self.channels.len() >= self.state.limits.ssh_channels {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let id = channel.id();
        let waiting = Waiting {
            version: Version::V0,
            channel: Some(channel),
        };
        self.channels.insert(id, waiting);
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _session: &mut Connection,
    ) -> Result<(), russh::Error> {
        self.channels.remove(&channel);
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Connection,
    ) -> Result<(), russh::Error> {
        match self.channels.get_mut(&channel) {
            Some(waiting) if name == "GIT_PROTOCOL" && value.len() <= MAX_GIT_PROTOCOL => {
                waiting.version = Version::from_git_protocol(value.as_bytes());
                session.channel_success(channel)
            }
            _ => session.channel_failure(channel),
        }
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        line: &[u8],
        session: &mut Connection,
    ) -> Result<(), russh::Error> {
        let taken = self
            .channels
            .get_mut(&id)
            .and_then(|waiting| Some((waiting.channel.take()?, waiting.version)));
        let (Some((channel, version)), Some(caller)) = (taken, self.caller.clone()) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        match ExecLine::parse(line) {
            Ok(command) => {
                let state = self.state.clone();
                self.spawn(run(state, caller, command, version, channel));
            }
            Err(error) => self.spawn_message(channel, format!("packhorse: {error}"), FAILURE),
        }
        Ok(())
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut Connection,
    ) -> Result<(), russh::Error> {
        let channel = self
            .channels
            .get_mut(&id)
            .and_then(|waiting| waiting.channel.take());
        let (Some(channel), Some(caller)) = (channel, &self.caller) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let name = caller.principal.display_name();
        let greeting = format!(
            "Hi {name}! You have authenticated; packhorse serves Git here and gives no shell."
        );
        self.spawn_message(channel, greeting, 0);
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        session: &mut Connection,
    ) -> Result<(), russh::Error> {
        session.channel_failure(id)
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _terminal: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(russh::Pty, u32)],
        session: &mut Connection,
    ) -> Result<(), russh::Error> {
        session.channel_failure(id)
    }
}

/// Runs one Git command on its channel.
async fn run(
    state: SshState,
    caller: Arc<Caller>,
    command: ExecLine,
    version: Version,
    channel: Channel<Msg>,
) {
    let (reader, writer) = channel.split();
    let input = input(reader);
    let mut output = ChannelOutput(writer);
    let conversation = Conversation::stateful(version);
    // A path that is not text names nothing of ours.
    let path = String::from_utf8(command.path).unwrap_or_default();
    let outcome = match command.service {
        Service::UploadPack => match state.wire.open_fetch(&caller, &path) {
            Ok(fetch) => fetch.run(conversation, input, &mut output).await,
            Err(refused) => Err(refused.into()),
        },
        Service::ReceivePack => match state.wire.open_push(&caller, &path) {
            Ok(push) => push.run(conversation, input, &mut output).await,
            Err(refused) => Err(refused.into()),
        },
        Service::UploadArchive => match state.wire.open_fetch(&caller, &path) {
            Ok(fetch) => fetch.archive(input, &mut output).await,
            Err(refused) => Err(refused.into()),
        },
    };
    let (message, status) = match outcome {
        Ok(()) => (None, 0),
        Err(error) if error.was_told() || matches!(error, WireError::Disconnected) => {
            (None, FAILURE)
        }
        Err(error) => (Some(format!("packhorse: {}", error.for_peer())), FAILURE),
    };
    let patience = state.limits.idle_timeout();
    finish(&mut output.0, message, status, patience).await;
}

/// Says the last word on a channel. A peer that has gone already, or does not listen for so long,
/// does not mind.
async fn finish(
    writer: &mut ChannelWriteHalf<Msg>,
    message: Option<String>,
    status: u32,
    patience: Duration,
) {
    let last_words = async {
        if let Some(message) = message {
            writer
                .extended_data_bytes(1, Bytes::from(format!("{message}\n")))
                .await?;
        }
        writer.exit_status(status).await?;
        writer.eof().await?;
        writer.close().await
    };
    match tokio::time::timeout(patience, last_words).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "peer left before the end"),
        Err(_) => tracing::debug!("peer does not listen"),
    }
}

/// What the peer sends on its channel, as bytes that can be awaited.
fn input(reader: ChannelReadHalf) -> Input {
    let messages = stream::unfold(reader, async |mut reader: ChannelReadHalf| {
        loop {
            match reader.wait().await? {
                ChannelMsg::Data { data } => return Some((std::io::Result::Ok(data), reader)),
                ChannelMsg::Eof | ChannelMsg::Close => return None,
                _ => {}
            }
        }
    });
    Box::pin(StreamReader::new(Box::pin(messages)))
}

struct ChannelOutput(ChannelWriteHalf<Msg>);

impl Output for ChannelOutput {
    async fn send(&mut self, bytes: Bytes) -> Result<(), Disconnected> {
        self.0.data_bytes(bytes).await.map_err(|_| Disconnected)
    }
}
