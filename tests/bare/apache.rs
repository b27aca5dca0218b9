//! The CGI behind Apache, by the recipe of git-http-backend(1).

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use super::*;

/// Where the system keeps Apache's modules.
const MODULES: &str = "/usr/lib/apache2/modules";

/// Apache on a port of its own. It refuses to serve as root, so it is started as somebody else, who to the
/// files is who runs the test.
struct Apache {
    child: Child,
    port: u16,
}

impl Apache {
    fn start(bare: &Bare) -> Self {
        let root = bare.folder.path();
        let folder = root.display();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let cgi = root.join("cgi");
        let script = format!("#!/bin/sh\nexec {} http-backend\n", binary().display());
        fs::write(&cgi, script).unwrap();
        fs::set_permissions(&cgi, fs::Permissions::from_mode(0o755)).unwrap();
        // The password is `secret`.
        fs::write(
            root.join("users"),
            "ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n",
        )
        .unwrap();
        let modules: String = [
            "mpm_event",
            "authn_core",
            "authn_file",
            "authz_core",
            "authz_user",
            "auth_basic",
            "alias",
            "cgid",
            "env",
            "rewrite",
            "setenvif",
        ]
        .iter()
        .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
        .collect();
        let configuration = format!(
            "{modules}\
             ServerRoot {folder}\nDefaultRuntimeDir {folder}\nPidFile {folder}/apache.pid\n\
             ErrorLog {folder}/apache.log\nScriptSock {folder}/cgi.sock\nListen 127.0.0.1:{port}\n\
             ServerName localhost\nStartServers 1\nThreadsPerChild 8\n\
             SetEnv GIT_PROJECT_ROOT {folder}\nSetEnv GIT_HTTP_EXPORT_ALL\n\
             SetEnvIf Git-Protocol \".*\" GIT_PROTOCOL=$0\n\
             ScriptAlias /git/ {folder}/cgi/\n\
             RewriteEngine On\n\
             RewriteCond %{{QUERY_STRING}} service=git-receive-pack [OR]\n\
             RewriteCond %{{REQUEST_URI}} /git-receive-pack$\n\
             RewriteRule ^/git/ - [E=AUTHREQUIRED:yes]\n\
             <LocationMatch \"^/git/\">\n\
             Require expr \"%{{reqenv:AUTHREQUIRED}} != 'yes'\"\nRequire valid-user\n\
             AuthType Basic\nAuthName \"Git\"\nAuthUserFile {folder}/users\n\
             </LocationMatch>\n"
        );
        let path = root.join("apache.conf");
        fs::write(&path, configuration).unwrap();
        let mut command = clean_command("unshare", root);
        command
            .args(["--user", "--map-user=1000", "--map-group=1000"])
            .args(["apache2", "-D", "FOREGROUND", "-f", text(&path)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(root.join("apache.said")).unwrap());
        let child = command.spawn().unwrap();
        let mut server = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = server.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "Apache never listened: {:?} {:?}",
                fs::read_to_string(root.join("apache.said")),
                fs::read_to_string(root.join("apache.log"))
            );
            std::thread::yield_now();
        }
        server
    }

    fn url(&self, credential: &str) -> String {
        format!("http://{credential}127.0.0.1:{}/git/origin.git", self.port)
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // Its workers end with a master that is asked, not with one that is killed.
        let mut ask = clean_command("kill", Path::new("/"));
        ask.args(["-TERM", &self.child.id().to_string()]);
        drop(Finished::run(ask, b""));
        self.child.wait().unwrap();
    }
}

#[test]
fn clones_fetches_and_pushes_go_through_apache() {
    for bare in Bare::each() {
        let bare = bare.with_history();
        bare.sets("core.logAllRefUpdates", "true");
        let server = Apache::start(&bare);
        let (open, known) = (server.url(""), server.url("ann:secret@"));
        for version in 0..=2 {
            let name = format!("clone{version}");
            let protocol = format!("-c protocol.version={version}");
            bare.client(&format!("{protocol} clone -q {open} {name}"))
                .succeeds();
            let clone = bare.beside(&name);
            assert_eq!(
                clone.git("rev-parse main v2^{}").succeeds(),
                bare.origin().git("rev-parse main v2^{}").succeeds()
            );
            fs::write(clone.path.join(&name), "x".repeat(2_000_000)).unwrap();
            clone.git("add .").succeeds();
            clone.git("commit -q -m more").succeeds();
            clone
                .git(&format!("{protocol} push {open} main"))
                .fails_with("Authentication failed");
            clone
                .git(&format!(
                    "{protocol} push {} main",
                    server.url("ann:guessed@")
                ))
                .fails_with("Authentication failed");
            // Larger than what is sent in one piece, and so in chunks.
            clone
                .git(&format!(
                    "{protocol} -c http.postBuffer=100000 -c core.compression=0 push -q {known} main"
                ))
                .succeeds();
            bare.origin().is_sound();
            bare.client(&format!(
                "{protocol} clone -q --depth=1 {open} flat{version}"
            ))
            .succeeds();
            let absent = open.replace("origin.git", "absent.git");
            bare.client(&format!("{protocol} ls-remote {absent}"))
                .fails_with("not found");
        }
        let log = fs::read_to_string(bare.path().join("logs/refs/heads/main")).unwrap();
        assert!(log.contains(" ann <ann@http.127.0.0.1> "), "{log}");
        // Without smart HTTP there are files.
        let mut dumb = bare.beside("");
        dumb.environment = vec![("GIT_SMART_HTTP".to_owned(), "0".to_owned())];
        dumb.git(&format!("clone -q --mirror {open} dumb"))
            .succeeds();
        assert_eq!(bare.beside("dumb").objects(), bare.origin().objects());
    }
}
