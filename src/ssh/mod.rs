//! SSH: sessions on russh that run Git's programs in this process and nothing else.
//!
//! Source: RFC 4252 (authentication), RFC 4254 (channels); algorithms after the survey's advice:
//! AES-GCM first and no chacha20, which costs 2.6 times the CPU where AES is in hardware.
//! Bounds: time to authenticate, keys tried, channels a connection, connections of the server.
//! Invariant: the caller is set where a signature was verified (`auth_publickey`), never where a
//! key was merely offered (CVE-2024-45337).
//! Not here: what Git says on the channel (`wire`) and who may (`policy`).

mod connection;
mod host_key;
mod session;

use std::{borrow::Cow, io, sync::Arc, time::Duration};

use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};
use tokio::net::TcpListener;

pub use self::host_key::{HostKeyError, host_key};
use crate::{
    auth::Authenticator,
    config::Limits,
    http::{Accepting, accept},
    wire::Wire,
};

/// What every session needs.
#[derive(Clone)]
pub struct SshState {
    /// Runs Git's conversations.
    pub wire: Wire,
    /// Knows the keys.
    pub authenticator: Authenticator,
    /// The server's bounds.
    pub limits: Arc<Limits>,
}

const KEY_EXCHANGES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::AES_256_CTR,
    cipher::AES_128_CTR,
];
const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM];
/// Packs do not compress any further.
const COMPRESSIONS: &[compression::Name] = &[compression::NONE];
/// A refused key costs this much and no more: an agent may hold many keys.
const REJECTION_TIME: Duration = Duration::from_millis(20);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_MOST: usize = 4;

fn configuration(key: russh::keys::PrivateKey, limits: &Limits) -> russh::server::Config {
    russh::server::Config {
        server_id: SshId::Standard(Cow::Borrowed(concat!(
            "SSH-2.0-packhorse_",
            env!("CARGO_PKG_VERSION")
        ))),
        methods: MethodSet::from([MethodKind::PublicKey].as_slice()),
        auth_rejection_time: REJECTION_TIME,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key],
        preferred: Preferred {
            kex: Cow::Borrowed(KEY_EXCHANGES),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(COMPRESSIONS),
            key: Preferred::DEFAULT
                .key
                .iter()
                .filter(|algorithm| {
                    !matches!(algorithm, russh::keys::Algorithm::Rsa { hash: None })
                })
                .cloned()
                .collect(),
            ..Preferred::DEFAULT
        },
        // Clients begin with a try of no key at all, to learn how keys are to be sent.
        max_auth_attempts: limits.ssh_authentication_tries.saturating_add(1),
        inactivity_timeout: Some(limits.idle_timeout()),
        keepalive_interval: Some(KEEPALIVE_INTERVAL.min(limits.idle_timeout() / 2)),
        keepalive_max: KEEPALIVE_MOST,
        nodelay: true,
        ..russh::server::Config::default()
    }
}

/// Serves connections until told to stop.
///
/// # Errors
/// None at present: a connection's failure ends that connection only.
pub async fn serve(
    listener: TcpListener,
    key: russh::keys::PrivateKey,
    state: SshState,
    accepting: Accepting,
) -> io::Result<()> {
    let configuration = Arc::new(configuration(key, &state.limits));
    loop {
        let Some((stream, address, permit)) = accept(&listener, &accepting).await else {
            return Ok(());
        };
        let served = connection::serve(
            stream,
            address,
            Arc::clone(&configuration),
            state.clone(),
            accepting.clone(),
        );
        accepting.tasks.spawn(async move {
            if let Err(error) = served.await {
                tracing::debug!(%address, %error, "connection ended");
            }
            drop(permit);
        });
    }
}
