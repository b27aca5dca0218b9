//! TLS: reading certificate and key, and reading them again while the server runs.
//!
//! Source: RFC 8446; ALPN names of RFC 7301 (`h2`, `http/1.1`).
//! Invariant: a reload that fails leaves the certificate in use as it was.

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::config::Tls;

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read or holds no PEM of the right kind.
    #[error("can't read {path:?}")]
    Pem {
        /// Which file.
        path: std::path::PathBuf,
        /// What was wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The key does not belong to the certificate, or rustls refuses one of them.
    #[error("certificate and key can't be used")]
    Unusable(#[source] rustls::Error),
}

/// The certificate in use; clones see a reload too.
#[derive(Debug, Clone)]
pub struct TlsSource {
    files: Tls,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl TlsSource {
    /// Reads both files.
    ///
    /// # Errors
    /// When they can't be read or used.
    pub fn open(files: Tls) -> Result<Self, TlsError> {
        let config = load(&files)?;
        Ok(Self {
            files,
            current: Arc::new(RwLock::new(config)),
        })
    }

    /// Reads both files again.
    ///
    /// # Errors
    /// When they can't be read or used; the old certificate stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = load(&self.files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn load(files: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let in_file = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(in_file(&files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(in_file(&files.key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
