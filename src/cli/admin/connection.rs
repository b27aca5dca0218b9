//! Which server is meant, and by which token it will know us.
//!
//! Invariant: what is given by flag or environment wins over what lies in the data folder; the
//! token is never printed.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::client::Client;
use crate::model::Secret;

/// Where a server listens that was told nothing.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";
/// Name of the file in the data folder with the first administrator's token.
const TOKEN_FILE: &str = "admin-token";
/// Name of the file in the data folder that tells where the server listens.
const ADDRESSES_FILE: &str = "server.json";

/// Flags that every command of `admin` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Connection {
    /// The server's data folder, to find its address and the first administrator's token
    #[arg(
        long,
        value_name = "DIR",
        env = "PACKHORSE_DATA",
        default_value = "./packhorse-data",
        global = true
    )]
    data: PathBuf,
    /// The server's URL [default: as the data folder tells, or http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", env = "PACKHORSE_URL", global = true)]
    url: Option<String>,
    /// The token to use [default: the one in the data folder]
    #[arg(
        long,
        value_name = "T",
        env = "PACKHORSE_TOKEN",
        hide_env_values = true,
        value_parser = secret,
        global = true
    )]
    token: Option<Secret<String>>,
}

fn secret(text: &str) -> Result<Secret<String>, std::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}

/// Why it is not known whom to talk to.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// Without a token there is nothing to do.
    #[error("can't read the token in {path:?}; give one with --token or PACKHORSE_TOKEN")]
    NoToken {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is there and can't be used.
    #[error("can't use the addresses in {path:?}; give the server's URL with --url")]
    Addresses {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// The server serves SSH alone.
    #[error("the server of {0:?} serves neither HTTP nor HTTPS")]
    NoHttp(PathBuf),
}

/// The part of the file with the addresses that matters here.
#[derive(Debug, Deserialize)]
struct Addresses {
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
}

impl Connection {
    /// Finds out whom to talk to; says nothing to the server yet.
    pub(super) fn open(&self) -> Result<Client, ConnectionError> {
        let given = self.url.as_deref().filter(|url| !url.is_empty());
        let url = match given {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => url_of(&self.data)?,
        };
        let given = self
            .token
            .clone()
            .filter(|token| !token.expose().is_empty());
        let token = match given {
            Some(token) => token,
            None => token_of(&self.data)?,
        };
        Ok(Client::new(url, token))
    }
}

fn token_of(data: &Path) -> Result<Secret<String>, ConnectionError> {
    let path = data.join(TOKEN_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Secret::new(text.trim().to_owned())),
        Err(source) => Err(ConnectionError::NoToken { path, source }),
    }
}

/// Plain HTTP first: on the same machine it needs no certificate that this machine trusts.
fn url_of(data: &Path) -> Result<String, ConnectionError> {
    let path = data.join(ADDRESSES_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DEFAULT_URL.to_owned()),
        Err(source) => return Err(ConnectionError::Addresses { path, source }),
    };
    let addresses: Addresses =
        serde_json::from_str(&text).map_err(|error| ConnectionError::Addresses {
            path: path.clone(),
            source: error.into(),
        })?;
    match (addresses.http, addresses.https) {
        (Some(http), _) => Ok(format!("http://{}", dialable(http))),
        (None, Some(https)) => Ok(format!("https://{}", dialable(https))),
        (None, None) => Err(ConnectionError::NoHttp(data.to_owned())),
    }
}

/// A server that listens everywhere also listens on the loopback.
fn dialable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(addresses: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(ADDRESSES_FILE), addresses).unwrap();
        folder
    }

    #[test]
    fn the_data_folder_tells_where_the_server_is() {
        for (addresses, url) in [
            (
                r#"{"http":"127.0.0.1:81","https":"127.0.0.1:82","ssh":null,"pid":7}"#,
                "http://127.0.0.1:81",
            ),
            (
                r#"{"http":null,"https":"192.0.2.1:82","ssh":null,"pid":7}"#,
                "https://192.0.2.1:82",
            ),
            (r#"{"http":"0.0.0.0:81"}"#, "http://127.0.0.1:81"),
            (r#"{"http":"[::]:81"}"#, "http://[::1]:81"),
        ] {
            assert_eq!(url_of(folder(addresses).path()).unwrap(), url);
        }
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(url_of(empty.path()).unwrap(), DEFAULT_URL);
    }

    #[test]
    fn a_file_that_tells_nothing_is_an_error() {
        for addresses in ["", "{", r#"{"http":"nowhere"}"#] {
            assert!(matches!(
                url_of(folder(addresses).path()),
                Err(ConnectionError::Addresses { .. })
            ));
        }
        assert!(matches!(
            url_of(folder(r#"{"ssh":"127.0.0.1:22"}"#).path()),
            Err(ConnectionError::NoHttp(_))
        ));
    }

    #[test]
    fn a_token_is_read_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            token_of(folder.path()),
            Err(ConnectionError::NoToken { .. })
        ));
        fs::write(folder.path().join(TOKEN_FILE), "ph_x\n").unwrap();
        assert_eq!(token_of(folder.path()).unwrap().expose(), "ph_x");
    }
}
