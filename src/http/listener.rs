//! Accepting HTTP connections: TCP, TLS where asked for, then HTTP/1.1 or HTTP/2 on one port.
//!
//! Bounds: connections by a semaphore shared with SSH, time for the TLS handshake, the first bytes and
//! the header lines, streams of an HTTP/2 connection.
//! Invariant: TCP_NODELAY is set at accept, so that no answer waits for a delayed ACK.
//! Not here: what the requests mean (`git`, `api`).

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use super::{punctual::Punctual, tls::TlsSource};

/// Streams that one HTTP/2 connection may have open.
const HTTP2_STREAMS: u32 = 128;
/// Pause after a failed accept (out of descriptors, say), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who is at the other end; every request carries it as an extension.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The peer's address as the socket tells it.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// What every listener of a server shares.
#[derive(Debug, Clone)]
pub struct Accepting {
    /// One permit for each connection, whatever the transport.
    pub connections: Arc<Semaphore>,
    /// Every connection's task.
    pub tasks: TaskTracker,
    /// Cancelled when the server is told to stop.
    pub stop: CancellationToken,
}

/// Serves connections until told to stop.
///
/// # Errors
/// None at present: a connection's failure ends that connection only.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsSource>,
    router: Router,
    header_timeout: Duration,
    accepting: Accepting,
) -> io::Result<()> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .adaptive_window(true)
        .keep_alive_interval(Duration::from_secs(60));
    loop {
        let Some((stream, address, permit)) = accept(&listener, &accepting).await else {
            return Ok(());
        };
        let (router, builder, stop, tls) = (
            router.clone(),
            builder.clone(),
            accepting.stop.clone(),
            tls.clone(),
        );
        accepting.tasks.spawn(async move {
            let served = async {
                match tls {
                    None => {
                        converse(
                            Punctual::new(stream, header_timeout),
                            Peer {
                                address,
                                tls: false,
                            },
                            builder,
                            router,
                            stop,
                        )
                        .await
                    }
                    Some(tls) => {
                        let acceptor = tokio_rustls::TlsAcceptor::from(tls.current());
                        let stream =
                            tokio::time::timeout(header_timeout, acceptor.accept(stream)).await??;
                        let stream = Punctual::new(stream, header_timeout);
                        converse(stream, Peer { address, tls: true }, builder, router, stop).await
                    }
                }
            };
            if let Err(error) = served.await {
                tracing::debug!(%address, error, "connection ended");
            }
            drop(permit);
        });
    }
}

/// The next connection with its permit; `None` once the server stops.
pub(crate) async fn accept(
    listener: &TcpListener,
    accepting: &Accepting,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    loop {
        let permit = tokio::select! {
            () = accepting.stop.cancelled() => return None,
            permit = Arc::clone(&accepting.connections).acquire_owned() => permit.ok()?,
        };
        let accepted = tokio::select! {
            () = accepting.stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%address, %error, "TCP_NODELAY refused");
                }
                return Some((stream, address, permit));
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse<S>(
    stream: S,
    peer: Peer,
    builder: auto::Builder<TokioExecutor>,
    router: Router,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service =
        hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            router.clone().oneshot(request)
        });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}
