//! `packhorse admin`: manages a running server through its own API.
//!
//! Bounds: keys and passwords read from files or standard input by [`INPUT_MAX_BYTES`].
//! Invariant: standard output gets the new id or token alone, one a line, so that scripts can take
//! it as it is; every message goes to standard error.
//! Not here: the rules, names included (the server's) and the HTTP of it (`client`).

use std::{
    fs::File,
    io::{self, Read, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::{client::Client, connection::Connection, lifetime::Lifetime};
use crate::model::Timestamp;

mod client;
mod connection;
mod lifetime;

/// Largest key or password that is read.
const INPUT_MAX_BYTES: u64 = 64 << 10;

/// Manage a running server.
#[derive(Debug, Args)]
pub(super) struct Admin {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Accounts of people
    #[command(subcommand)]
    User(UserCommand),
    /// Tokens of users
    #[command(subcommand)]
    Token(TokenCommand),
    /// SSH keys of users
    #[command(subcommand)]
    Key(KeyCommand),
    /// Keys whose JWTs speak for a namespace
    #[command(subcommand)]
    Issuer(IssuerCommand),
    /// Repositories
    #[command(subcommand)]
    Repo(RepoCommand),
    /// SSH keys that open single repositories
    #[command(subcommand)]
    DeployKey(DeployKeyCommand),
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make a user and its personal namespace; prints the id
    Create {
        /// Login name
        name: String,
        /// Let the user administer the server
        #[arg(long)]
        admin: bool,
        /// Mail address
        #[arg(long, value_name = "E")]
        email: Option<String>,
        /// Read a password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token; prints it, once and never again
    Create {
        /// Whose it will be
        #[arg(long, value_name = "NAME")]
        user: String,
        /// What to call it
        #[arg(long, value_name = "N", default_value = "packhorse admin")]
        name: String,
        /// What it may do at most [default: api]
        #[arg(long, value_name = "a,b", value_delimiter = ',')]
        scopes: Option<Vec<String>>,
        /// How long it lives, as 90d, 12h or 4w [default: for ever]
        #[arg(long, value_name = "90d")]
        expires: Option<Lifetime>,
    },
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Add a public key in OpenSSH's form; prints the id
    Add {
        /// Whose it is
        #[arg(long, value_name = "NAME")]
        user: String,
        /// What to call it [default: the comment in the file]
        #[arg(long, value_name = "T")]
        title: Option<String>,
        /// The .pub file, or - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum IssuerCommand {
    /// Add a public key that verifies JWTs; makes the namespace when absent; prints the id
    Add {
        /// Namespace, the `iss` of the JWTs
        namespace: String,
        /// PEM file with the public key, or - for standard input
        #[arg(long, value_name = "FILE")]
        public_key: PathBuf,
        /// The `kid` that selects it
        #[arg(long, value_name = "K")]
        kid: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum RepoCommand {
    /// Make a repository; makes the namespace, an organization, when absent; prints the id
    Create {
        /// NAMESPACE/NAME
        #[arg(value_name = "NS/NAME")]
        path: String,
        #[command(flatten)]
        visibility: VisibilityFlags,
        /// sha1 or sha256
        #[arg(long, value_name = "FORMAT", default_value = "sha1")]
        object_format: String,
        /// The branch that HEAD names [default: main]
        #[arg(long, value_name = "B")]
        default_branch: Option<String>,
    },
    /// Print the paths of all repositories that the token may see
    List,
    /// Delete a repository for good
    Delete {
        /// NAMESPACE/NAME
        #[arg(value_name = "NS/NAME")]
        path: String,
    },
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct VisibilityFlags {
    /// Members only (the default)
    #[arg(long)]
    private: bool,
    /// Every signed-in user may read
    #[arg(long)]
    internal: bool,
    /// Everybody may read
    #[arg(long)]
    public: bool,
}

impl VisibilityFlags {
    fn name(&self) -> &'static str {
        match (self.internal, self.public) {
            (true, _) => "internal",
            (_, true) => "public",
            _ => "private",
        }
    }
}

#[derive(Debug, Subcommand)]
enum DeployKeyCommand {
    /// Add a public key in OpenSSH's form to a repository; prints the id
    Add {
        /// NAMESPACE/NAME
        #[arg(value_name = "NS/NAME")]
        path: String,
        /// Let it push, too
        #[arg(long)]
        write: bool,
        /// What to call it [default: the comment in the file]
        #[arg(long, value_name = "T")]
        title: Option<String>,
        /// The .pub file, or - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print id, mode, fingerprint and title of each key, separated by tabs
    List {
        /// NAMESPACE/NAME
        #[arg(value_name = "NS/NAME")]
        path: String,
    },
    /// Take a key away from a repository
    Delete {
        /// NAMESPACE/NAME
        #[arg(value_name = "NS/NAME")]
        path: String,
        /// As `list` prints it
        #[arg(value_name = "ID")]
        id: u64,
    },
}

impl Admin {
    /// Sends the command to the server and prints what it made.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let client = self.connection.open()?;
        match self.command {
            Command::User(command) => command.run(&client),
            Command::Token(command) => command.run(&client),
            Command::Key(command) => command.run(&client),
            Command::Issuer(command) => command.run(&client),
            Command::Repo(command) => command.run(&client),
            Command::DeployKey(command) => command.run(&client),
        }
    }
}

impl UserCommand {
    fn run(self, client: &Client) -> anyhow::Result<()> {
        let Self::Create {
            name,
            admin,
            email,
            password_stdin,
        } = self;
        let password = password_stdin.then(password).transpose()?;
        let user = json!({"name": name, "admin": admin, "email": email, "password": password});
        print(&client.post(&["users"], &user)?["id"])
    }
}

impl TokenCommand {
    fn run(self, client: &Client) -> anyhow::Result<()> {
        let Self::Create {
            user,
            name,
            scopes,
            expires,
        } = self;
        let expires_at = expires.map(|lifetime| lifetime.after(Timestamp::now()).to_string());
        let token = json!({"name": name, "scopes": scopes, "expires_at": expires_at});
        print(&client.post(&["users", &user, "tokens"], &token)?["token"])
    }
}

impl KeyCommand {
    fn run(self, client: &Client) -> anyhow::Result<()> {
        let Self::Add { user, title, file } = self;
        let key = json!({"title": title, "key": input(&file)?});
        print(&client.post(&["users", &user, "keys"], &key)?["id"])
    }
}

impl IssuerCommand {
    fn run(self, client: &Client) -> anyhow::Result<()> {
        let Self::Add {
            namespace,
            public_key,
            kid,
        } = self;
        let key = json!({"public_key": input(&public_key)?, "kid": kid});
        client.ensure_namespace(&namespace)?;
        print(&client.post(&["namespaces", &namespace, "issuers"], &key)?["id"])
    }
}

impl RepoCommand {
    fn run(self, client: &Client) -> anyhow::Result<()> {
        match self {
            Self::Create {
                path,
                visibility,
                object_format,
                default_branch,
            } => {
                if let Some((namespace, _)) = path.split_once('/') {
                    client.ensure_namespace(namespace)?;
                }
                let repository = json!({
                    "path": path,
                    "visibility": visibility.name(),
                    "object_format": object_format,
                    "default_branch": default_branch,
                });
                print(&client.post(&["repositories"], &repository)?["id"])
            }
            Self::List => {
                client.for_each(&["repositories"], |repository| print(&repository["path"]))
            }
            Self::Delete { path } => {
                client.delete(&["repositories", &path])?;
                Ok(())
            }
        }
    }
}

impl DeployKeyCommand {
    fn run(self, client: &Client) -> anyhow::Result<()> {
        match self {
            Self::Add {
                path,
                write,
                title,
                file,
            } => {
                let key = json!({"title": title, "key": input(&file)?, "can_push": write});
                let route = ["repositories", &path, "deploy_keys"];
                print(&client.post(&route, &key)?["id"])
            }
            Self::List { path } => {
                let route = ["repositories", &path, "deploy_keys"];
                client.for_each(&route, |key| {
                    let mode = match key["can_push"] {
                        Value::Bool(true) => "write",
                        _ => "read",
                    };
                    let columns = [
                        text(&key["id"]),
                        mode.to_owned(),
                        text(&key["fingerprint"]),
                        text(&key["title"]),
                    ];
                    print_line(&columns.join("\t"))
                })
            }
            Self::Delete { path, id } => {
                let id = id.to_string();
                client.delete(&["repositories", &path, "deploy_keys", &id])?;
                Ok(())
            }
        }
    }
}

/// The whole of a file, or of standard input for `-`.
fn input(file: &PathBuf) -> anyhow::Result<String> {
    let read = |from: &mut dyn Read| {
        let mut text = String::new();
        from.take(INPUT_MAX_BYTES + 1).read_to_string(&mut text)?;
        Ok::<_, io::Error>(text)
    };
    let text = match file.as_os_str() == "-" {
        true => read(&mut io::stdin()).context("can't read standard input"),
        false => File::open(file)
            .and_then(|mut opened| read(&mut opened))
            .with_context(|| format!("can't read {}", file.display())),
    }?;
    anyhow::ensure!(
        text.len() as u64 <= INPUT_MAX_BYTES,
        "{} is longer than {INPUT_MAX_BYTES} bytes",
        file.display()
    );
    Ok(text)
}

/// The first line of standard input.
fn password() -> anyhow::Result<String> {
    let mut all = input(&PathBuf::from("-"))?;
    all.truncate(all.find(['\r', '\n']).unwrap_or(all.len()));
    anyhow::ensure!(!all.is_empty(), "the password on standard input is empty");
    Ok(all)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn print(value: &Value) -> anyhow::Result<()> {
    print_line(&text(value))
}

fn print_line(line: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("can't write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        admin: Admin,
    }

    #[track_caller]
    fn check(line: &str, understood: bool) {
        let words = std::iter::once("admin").chain(line.split(' '));
        let parsed = Program::try_parse_from(words);
        assert_eq!(parsed.is_ok(), understood, "{line}: {parsed:?}");
    }

    #[test]
    fn the_documented_commands_are_understood() {
        for line in [
            "user create alice --admin --email a@example.org --password-stdin",
            "token create --user alice --name ci --scopes git:read,git:write --expires 90d",
            "token create --user alice",
            "key add --user alice --title laptop id.pub",
            "key add --user alice -",
            "issuer add acme --public-key key.pem --kid k1",
            "repo create acme/team/novel --public --object-format sha256 --default-branch trunk",
            "repo list --token t --url http://localhost:1 --data d",
            "--token t repo delete acme/novel",
            "deploy-key add acme/novel --write --title ci -",
            "deploy-key list acme/novel",
            "deploy-key delete acme/novel 7",
        ] {
            check(line, true);
        }
    }

    #[test]
    fn words_that_make_no_command_are_refused() {
        for line in [
            "token create --user alice --expires soon",
            "repo create acme/novel --public --private",
            "deploy-key delete acme/novel laptop",
            "key add id.pub",
        ] {
            check(line, false);
        }
    }

    #[test]
    fn a_token_is_not_printed_with_the_flags() {
        let parsed = Program::try_parse_from(["admin", "--token", "hunter2", "repo", "list"]);
        assert!(!format!("{:?}", parsed.unwrap()).contains("hunter2"));
    }
}
