//! One SSH connection: its deadlines for authenticating and for running a command, and its end.
//!
//! Bounds: time to authenticate, from there to the first command, and from the end of one command to
//! the next. Keepalives are answered by any client and count for nothing here.
//! Invariant: when the server stops or a deadline passes, the socket itself is cut, so that no
//! peer can hold a task by neither reading nor writing (CVE-2026-52814).

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{SshState, session::Session};
use crate::http::Accepting;

/// Serves one connection to its end.
pub(super) async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    configuration: Arc<russh::server::Config>,
    state: SshState,
    accepting: Accepting,
) -> Result<(), russh::Error> {
    let cut = CancellationToken::new();
    let (authenticated, proven) = oneshot::channel();
    let handshake = Duration::from_secs(state.limits.ssh_handshake_seconds);
    let first_command = Duration::from_secs(state.limits.ssh_command_seconds);
    let next_command = state.limits.idle_timeout();
    let session = Session::new(state, address, accepting.tasks.clone(), authenticated);
    let (work, begun) = (session.work(), session.begun());
    let stream = Severable {
        stream,
        cut: Box::pin(cut.clone().cancelled_owned()),
    };
    let conversation = async {
        let running = russh::server::run_stream(configuration, stream, session).await?;
        running.await
    };
    tokio::pin!(conversation);
    let idled = async {
        if tokio::time::timeout(handshake, proven).await.is_err() {
            return "did not authenticate in time";
        }
        let mut patience = first_command;
        while tokio::time::timeout(patience, begun.notified())
            .await
            .is_ok()
        {
            work.wait().await;
            patience = next_command;
        }
        "ran no command for too long"
    };
    tokio::select! {
        ended = conversation.as_mut() => return ended,
        why = idled => tracing::debug!(%address, why, "connection given up"),
        // Running Git commands may finish; an idle connection ends at once.
        () = async { accepting.stop.cancelled().await; work.wait().await } => {}
    }
    cut.cancel();
    conversation.await
}

/// A socket that can be cut from outside: then every read and write fails.
struct Severable {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Severable {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Severable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Severable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
