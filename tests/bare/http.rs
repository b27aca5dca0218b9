//! The CGI: held against git's own, and behind nginx.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use super::*;

/// Runs a CGI with these variables and this body.
fn by_cgi(bare: &Bare, ours: bool, variables: &[(&str, &str)], body: &[u8]) -> String {
    let program = if ours { binary() } else { Path::new("git") };
    let mut command = clean_command(program, bare.folder.path());
    let root = bare.folder.path();
    command
        .arg("http-backend")
        .current_dir(root)
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "")
        .env("SERVER_PROTOCOL", "HTTP/1.1");
    for (name, value) in variables {
        if *value == "-" {
            command.env_remove(name);
        } else {
            command.env(name, value);
        }
    }
    if !body.is_empty() {
        command.env("CONTENT_LENGTH", body.len().to_string());
    }
    let said = Finished::run(command, body);
    said.stdout()
}

/// Without what changes from one moment to the next or tells one program from the other.
fn comparable(answer: &str) -> (Vec<String>, Vec<String>) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let changing = ["Date: ", "Last-Modified: "];
    let mut head: Vec<_> = head
        .lines()
        .filter(|line| !changing.iter().any(|name| line.starts_with(name)))
        .filter(|line| !line.starts_with("Expires: ") || line.contains("1980"))
        .map(str::to_owned)
        .collect();
    // git says some of them twice, and of what is missing that it may be kept.
    if head.iter().any(|line| line.starts_with("Status: ")) {
        head.retain(|line| !line.starts_with("Cache-Control: public"));
    }
    head.sort();
    head.dedup();
    let body = body
        .lines()
        .map(|line| line.strip_prefix("0000").unwrap_or(line))
        // Where capabilities follow, the length is another.
        .map(|line| match line.split_once('\0') {
            Some((name, _)) => name.get(4..).unwrap_or(name).to_owned(),
            None => line.to_owned(),
        })
        .collect();
    (head, body)
}

#[test]
fn status_headers_and_bodies_are_those_of_git() {
    let bare = Bare::new("sha1").with_history();
    let main = bare.origin().git("rev-parse main").succeeds();
    let loose = format!("/origin.git/objects/{}/{}", &main[..2], &main[2..]);
    let pack = fs::read_dir(bare.path().join("objects/pack"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.ends_with(".idx"))
        .unwrap();
    let index = format!("/origin.git/objects/pack/{pack}");
    let refs = "/origin.git/info/refs";
    let (get, post) = ("GET", "POST");
    for (method, path, query, more) in [
        (get, "/origin.git/HEAD", "", &[][..]),
        ("HEAD", "/origin.git/HEAD", "", &[]),
        (get, refs, "", &[]),
        (get, refs, "service=git-upload-pack", &[]),
        (get, refs, "service=git-receive-pack", &[]),
        (
            get,
            refs,
            "service=git-receive-pack",
            &[("REMOTE_USER", "ann")],
        ),
        (get, refs, "service=git-upload-archive", &[]),
        (get, refs, "service=nonsense", &[]),
        (get, "/origin.git/objects/info/packs", "", &[]),
        (get, "/origin.git/objects/info/alternates", "", &[]),
        (get, &*loose, "", &[]),
        (get, &*index, "", &[]),
        (
            get,
            "/origin.git/objects/00/00000000000000000000000000000000000000",
            "",
            &[],
        ),
        (get, "/origin.git/config", "", &[]),
        (get, "/nowhere.git/HEAD", "", &[]),
        (get, "/../origin.git/HEAD", "", &[]),
        (get, "/origin.git//HEAD", "", &[]),
        (get, refs, "", &[("GIT_HTTP_EXPORT_ALL", "-")]),
        (get, refs, "", &[("PATH_INFO", "-")]),
        (get, refs, "", &[("REQUEST_METHOD", "-")]),
        (get, refs, "", &[("GIT_PROJECT_ROOT", "-")]),
        (post, refs, "", &[]),
        ("PUT", refs, "", &[("SERVER_PROTOCOL", "HTTP/1.0")]),
        (get, "/origin.git/git-upload-pack", "", &[]),
        (post, "/origin.git/git-upload-pack", "", &[]),
        (
            post,
            "/origin.git/git-upload-pack",
            "",
            &[("CONTENT_TYPE", "text/plain")],
        ),
        (post, "/origin.git/git-receive-pack", "", &[]),
    ] {
        let mut variables = vec![
            ("REQUEST_METHOD", method),
            ("PATH_INFO", path),
            ("QUERY_STRING", query),
        ];
        variables.extend_from_slice(more);
        let (ours, theirs) = (
            by_cgi(&bare, true, &variables, b""),
            by_cgi(&bare, false, &variables, b""),
        );
        assert_eq!(
            comparable(&ours),
            comparable(&theirs),
            "{method} {path}?{query} {more:?}"
        );
    }
    // PATH_TRANSLATED stands in for a root.
    let file = bare.path().join("HEAD");
    let variables = [
        ("REQUEST_METHOD", get),
        ("GIT_PROJECT_ROOT", "-"),
        ("PATH_TRANSLATED", text(&file)),
    ];
    assert!(by_cgi(&bare, true, &variables, b"").ends_with("ref: refs/heads/main\n"));
}

#[test]
fn services_are_for_those_whom_configuration_and_web_server_let_in() {
    let refs =
        |service: &'static str, key: &str, value: &str, more: &[(&'static str, &'static str)]| {
            let bare = Bare::new("sha1");
            if !key.is_empty() {
                bare.sets(key, value);
            }
            let query = format!("service=git-{service}");
            let mut variables = vec![
                ("REQUEST_METHOD", "GET"),
                ("PATH_INFO", "/origin.git/info/refs"),
            ];
            if !service.is_empty() {
                variables.push(("QUERY_STRING", &query));
            }
            variables.extend_from_slice(more);
            let answer = by_cgi(&bare, true, &variables, b"");
            answer
                .strip_prefix("Status: ")
                .map_or_else(|| "200".to_owned(), |status| status[..3].to_owned())
        };
    let ann = [("REMOTE_USER", "ann")];
    for (service, key, value, more, status) in [
        ("upload-pack", "", "", &[][..], "200"),
        ("upload-pack", "http.uploadpack", "false", &[], "403"),
        ("receive-pack", "", "", &[], "403"),
        ("receive-pack", "", "", &ann, "200"),
        ("receive-pack", "http.receivepack", "false", &ann, "403"),
        ("receive-pack", "http.receivepack", "true", &[], "200"),
        ("", "", "", &[], "200"),
        ("", "http.getanyfile", "false", &[], "403"),
        ("", "", "", &[("GIT_HTTP_EXPORT_ALL", "-")], "404"),
    ] {
        assert_eq!(
            refs(service, key, value, more),
            status,
            "{service} {key}={value} {more:?}"
        );
    }
    let bare = Bare::new("sha1");
    fs::write(bare.path().join("git-daemon-export-ok"), "").unwrap();
    let variables = [
        ("REQUEST_METHOD", "GET"),
        ("PATH_INFO", "/origin.git/HEAD"),
        ("GIT_HTTP_EXPORT_ALL", "-"),
    ];
    assert!(by_cgi(&bare, true, &variables, b"").contains("ref: refs/heads/main"));
}

#[test]
fn a_request_larger_than_allowed_is_refused_before_it_is_answered() {
    let bare = Bare::new("sha1").with_history();
    let body = format!("{}0000", line("command=ls-refs\n"));
    let variables = |most: &'static str| {
        [
            ("REQUEST_METHOD", "POST"),
            ("PATH_INFO", "/origin.git/git-upload-pack"),
            ("CONTENT_TYPE", "application/x-git-upload-pack-request"),
            ("HTTP_GIT_PROTOCOL", "version=2"),
            ("GIT_HTTP_MAX_REQUEST_BUFFER", most),
        ]
    };
    let answer = by_cgi(&bare, true, &variables("24"), body.as_bytes());
    assert!(answer.contains("refs/heads/side"), "{answer}");
    let answer = by_cgi(&bare, true, &variables("23"), body.as_bytes());
    assert!(answer.starts_with("Status: 500"), "{answer}");
    bare.sets("http.maxRequestBuffer", "1");
    let answer = by_cgi(&bare, true, &variables("-"), body.as_bytes());
    assert!(answer.starts_with("Status: 500"), "{answer}");
}

/// nginx and fcgiwrap, on a port of their own.
struct WebServer {
    nginx: Child,
    fcgiwrap: Child,
    port: u16,
}

impl WebServer {
    fn start(bare: &Bare) -> Self {
        let root = bare.folder.path();
        let folder = root.display();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let cgi = root.join("cgi");
        let script = format!(
            "#!/bin/sh\nunset GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL\nexec {} http-backend\n",
            binary().display()
        );
        fs::write(&cgi, script).unwrap();
        fs::set_permissions(&cgi, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let location = |prefix: &str, more: &str| {
            format!(
                "location ~ ^/{prefix}(/.*)$ {{ fastcgi_pass unix:{folder}/cgi.sock; \
                 fastcgi_param SCRIPT_FILENAME {folder}/cgi; fastcgi_param PATH_INFO $1; \
                 fastcgi_param GIT_PROJECT_ROOT {folder}; fastcgi_param GIT_HTTP_EXPORT_ALL 1; \
                 fastcgi_param REQUEST_METHOD $request_method; fastcgi_param QUERY_STRING $query_string; \
                 fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length; \
                 fastcgi_param SERVER_PROTOCOL $server_protocol; fastcgi_param REMOTE_ADDR $remote_addr; \
                 fastcgi_param HTTP_GIT_PROTOCOL $http_git_protocol; \
                 fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding; {more} }}\n"
            )
        };
        let user = if rustix_is_root() { "user root;" } else { "" };
        let open = location("open", "");
        let known = location(
            "ann",
            "fastcgi_param REMOTE_USER ann; fastcgi_param PACKHORSE_HOOKS 1;",
        );
        let configuration = format!(
            "{user} pid {folder}/nginx.pid; error_log {folder}/nginx.log; daemon off; worker_processes 1;\n\
             events {{ }}\nhttp {{ access_log off; client_max_body_size 0; client_body_temp_path {folder}/b; \
             fastcgi_temp_path {folder}/f; proxy_temp_path {folder}/p; uwsgi_temp_path {folder}/u; \
             scgi_temp_path {folder}/s;\nserver {{ listen 127.0.0.1:{port};\n{open}{known}}} }}\n"
        );
        fs::write(root.join("nginx.conf"), configuration).unwrap();
        let start = |program: &str, arguments: &[String]| {
            let mut command = clean_command(program, root);
            command
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{program}: {error}"))
        };
        let fcgiwrap = start(
            "fcgiwrap",
            &["-s".to_owned(), format!("unix:{folder}/cgi.sock")],
        );
        let nginx = start(
            "nginx",
            &[
                "-c".to_owned(),
                format!("{folder}/nginx.conf"),
                "-e".to_owned(),
                format!("{folder}/nginx.log"),
            ],
        );
        let server = Self {
            nginx,
            fcgiwrap,
            port,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()
            || !root.join("cgi.sock").exists()
        {
            assert!(
                Instant::now() < deadline,
                "nginx never listened: {:?}",
                fs::read_to_string(root.join("nginx.log"))
            );
            std::thread::yield_now();
        }
        server
    }

    fn url(&self, prefix: &str) -> String {
        format!("http://127.0.0.1:{}/{prefix}/origin.git", self.port)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        // Its workers end with a master that is asked, not with one that is killed.
        let mut ask = clean_command("kill", Path::new("/"));
        ask.args(["-TERM", &self.nginx.id().to_string()]);
        drop(Finished::run(ask, b""));
        self.nginx.wait().unwrap();
        self.fcgiwrap.kill().unwrap();
        self.fcgiwrap.wait().unwrap();
    }
}

fn rustix_is_root() -> bool {
    let mut command = clean_command("id", Path::new("/"));
    command.arg("-u");
    Finished::run(command, b"").succeeds() == "0"
}

#[test]
fn clones_fetches_and_pushes_go_through_a_web_server() {
    for bare in Bare::each() {
        let bare = bare.with_history();
        let server = WebServer::start(&bare);
        let (open, known) = (server.url("open"), server.url("ann"));
        for version in 0..=2 {
            let name = format!("clone{version}");
            bare.client(&format!(
                "-c protocol.version={version} clone -q {open} {name}"
            ))
            .succeeds();
            let clone = bare.beside(&name);
            assert_eq!(
                clone.git("rev-parse main").succeeds(),
                bare.origin().git("rev-parse main").succeeds()
            );
            let git = |words: &str| clone.git(&format!("-c protocol.version={version} {words}"));
            fs::write(clone.path.join(&name), "x".repeat(2_000_000)).unwrap();
            clone.git("add .").succeeds();
            clone.git("commit -q -m more").succeeds();
            git(&format!("push {open} main")).fails_with("403");
            // Larger than what is sent in one piece, and so in chunks.
            git(&format!(
                "-c http.postBuffer=100000 -c core.compression=0 push -q {known} main"
            ))
            .succeeds();
            bare.origin().is_sound();
            bare.client(&format!(
                "-c protocol.version={version} clone -q --depth=1 {open} flat{version}"
            ))
            .succeeds();
        }
        // Without smart HTTP there are files.
        let mut dumb = bare.beside("");
        dumb.environment = vec![("GIT_SMART_HTTP".to_owned(), "0".to_owned())];
        dumb.git(&format!("clone -q --mirror {open} dumb"))
            .succeeds();
        assert_eq!(bare.beside("dumb").objects(), bare.origin().objects());
    }
}

#[test]
fn who_pushes_by_http_is_in_the_log_and_in_the_hooks() {
    let bare = Bare::new("sha1").with_history();
    bare.sets("core.logAllRefUpdates", "true");
    let hook = bare.path().join("hooks/post-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(
        &hook,
        "#!/bin/sh\necho \"thanks $GIT_COMMITTER_NAME $GIT_COMMITTER_EMAIL\"\n",
    )
    .unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let server = WebServer::start(&bare);
    let work = bare.beside("work");
    work.git("commit -q --allow-empty -m more").succeeds();
    let said = work.git(&format!("push {} main", server.url("ann")));
    said.succeeds();
    assert!(
        said.stderr()
            .contains("remote: thanks ann ann@http.127.0.0.1"),
        "{}",
        said.stderr()
    );
    let log = fs::read_to_string(bare.path().join("logs/refs/heads/main")).unwrap();
    assert!(log.contains(" ann <ann@http.127.0.0.1> "), "{log}");
}
