//! `packhorse http-backend`: plain folders behind a web server, as a CGI.
//!
//! Source: git-http-backend(1), gitprotocol-http(5), RFC 3875.
//! Bounds: a fetch's request is at most [`REQUEST_BYTES`] or what `GIT_HTTP_MAX_REQUEST_BUFFER` says,
//! inflated; a push's is bounded as in `push`.
//! Invariant: status and headers are those of git's own backend; a path that is not its own shortest
//! form is never followed.
//! Not here: who may read or push (the web server says, by `REMOTE_USER` and by asking at all).

mod request;
mod response;

use std::{
    fs::{self, File},
    io::{self, Read, Write as _},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use packhorse_protocol::{Transport, Version};

use self::{
    request::{Request, Route, Service, variable},
    response::{Caching, Response},
};
use super::{
    BareError, Conversation, config,
    dialogue::Dialogue,
    fetch,
    folder::Folder,
    push::{self, Pusher},
    refs, server_info, standard_streams,
};

/// The largest request of a fetch, unless something else is configured.
const REQUEST_BYTES: u64 = 10 << 20;

/// Why a request is not answered with 200.
#[derive(Debug)]
enum Refusal {
    /// 400 or 405: this path takes the other method.
    Method { allowed: &'static str },
    /// 403
    Forbidden(String),
    /// 404
    NotFound(String),
    /// 415
    MediaType(String),
    /// 500
    Broken(String),
}

impl From<BareError> for Refusal {
    fn from(error: BareError) -> Self {
        match error {
            BareError::NotARepository(path) => {
                Self::NotFound(format!("Not a git repository: '{path}'"))
            }
            other => Self::Broken(other.to_string()),
        }
    }
}

/// Answers the request that the environment describes. Hooks run if `PACKHORSE_HOOKS` says so.
///
/// # Errors
/// When the answer breaks off; a refusal is an answer.
pub fn http_backend() -> Result<(), BareError> {
    let (mut input, output) = standard_streams()?;
    let mut response = Response::new(output);
    let answered =
        Request::from_environment().and_then(|request| answer(&request, &mut input, &mut response));
    match answered {
        Ok(()) => Ok(()),
        Err(refusal) if response.has_begun() => {
            let words = match refusal {
                Refusal::Broken(words)
                | Refusal::Forbidden(words)
                | Refusal::NotFound(words)
                | Refusal::MediaType(words) => words,
                Refusal::Method { allowed } => format!("only {allowed} is allowed"),
            };
            Err(BareError::Refused(words))
        }
        Err(refusal) => {
            refuse(refusal, &mut response).map_err(BareError::io("unable to write", "the response"))
        }
    }
}

fn answer(
    request: &Request,
    input: &mut (dyn Read + Send),
    response: &mut Response<impl io::Write>,
) -> Result<(), Refusal> {
    let folder = Folder::open(&request.repository, false)?;
    if variable("GIT_HTTP_EXPORT_ALL").is_none()
        && !folder.git_dir.join("git-daemon-export-ok").exists()
    {
        let path = request.repository.display();
        return Err(Refusal::NotFound(format!(
            "Repository not exported: '{path}'"
        )));
    }
    match &request.route {
        Route::Text(path) => {
            getanyfile(&folder)?;
            response.file(&folder.common.join(path), "text/plain")
        }
        Route::Object(path, media_type) => {
            getanyfile(&folder)?;
            response.caching(Caching::Forever);
            response.file(&folder.common.join(path), media_type)
        }
        Route::Packs => {
            getanyfile(&folder)?;
            response.caching(Caching::Never);
            let list = server_info::packs(&folder)?;
            response.text(&list, "text/plain; charset=utf-8")
        }
        Route::Refs => match &request.service {
            None => {
                getanyfile(&folder)?;
                response.caching(Caching::Never);
                let list = server_info::refs(&folder, refs::namespace()?)?;
                response.text(&list, "text/plain")
            }
            Some(name) => {
                let service = Service::named(name)?;
                service.is_enabled(&folder.config)?;
                response.caching(Caching::Never);
                response.begin(&format!(
                    "application/x-git-{}-advertisement",
                    service.name()
                ))?;
                serve(
                    service,
                    &folder,
                    Transport::Advertisement,
                    &mut io::empty(),
                    response,
                )
            }
        },
        Route::Rpc(service) => {
            service.is_enabled(&folder.config)?;
            let wanted = format!("application/x-git-{}-request", service.name());
            let given = variable("CONTENT_TYPE").unwrap_or_default();
            if given != wanted {
                return Err(Refusal::MediaType(format!(
                    "Expected POST with Content-Type '{wanted}', but received '{given}' instead.\n"
                )));
            }
            let mut body = body(*service, &folder, input)?;
            response.caching(Caching::Never);
            response.begin(&format!("application/x-git-{}-result", service.name()))?;
            serve(
                *service,
                &folder,
                Transport::Stateless,
                &mut *body,
                response,
            )
        }
    }
}

fn getanyfile(folder: &Folder) -> Result<(), Refusal> {
    if folder.config.flag("http.getanyfile", true)? {
        return Ok(());
    }
    Err(Refusal::Forbidden(
        "Unsupported service: getanyfile".to_owned(),
    ))
}

/// The request's body, inflated, of which a fetch's is held in memory before anything is answered.
fn body<'a>(
    service: Service,
    folder: &Folder,
    input: &'a mut (dyn Read + Send),
) -> Result<Box<dyn Read + Send + 'a>, Refusal> {
    let length = variable("CONTENT_LENGTH").and_then(|length| length.parse().ok());
    let input = input.take(length.unwrap_or(u64::MAX));
    let encoding = variable("HTTP_CONTENT_ENCODING").unwrap_or_default();
    let mut plain: Box<dyn Read + Send + 'a> = match encoding.as_str() {
        "gzip" | "x-gzip" => Box::new(MultiGzDecoder::new(input)),
        _ => Box::new(input),
    };
    if service == Service::ReceivePack {
        return Ok(plain);
    }
    let most = request_bytes_max(folder)?;
    let mut whole = Vec::new();
    let read = plain
        .by_ref()
        .take(most.saturating_add(1))
        .read_to_end(&mut whole);
    read.map_err(|error| Refusal::Broken(format!("cannot read the request: {error}")))?;
    if whole.len() as u64 > most {
        return Err(Refusal::Broken(format!(
            "request was larger than our maximum size ({most}); try setting GIT_HTTP_MAX_REQUEST_BUFFER"
        )));
    }
    Ok(Box::new(io::Cursor::new(whole)))
}

fn request_bytes_max(folder: &Folder) -> Result<u64, BareError> {
    let configured = folder.config.number("http.maxRequestBuffer")?;
    let said = variable("GIT_HTTP_MAX_REQUEST_BUFFER").map(|text| {
        config::number(&text).ok_or_else(|| BareError::Config {
            place: "GIT_HTTP_MAX_REQUEST_BUFFER".to_owned(),
            reason: format!("bad numeric value '{text}'"),
        })
    });
    let most = said
        .transpose()?
        .or(configured)
        .and_then(|most| u64::try_from(most).ok());
    Ok(most.unwrap_or(REQUEST_BYTES))
}

fn serve(
    service: Service,
    folder: &Folder,
    transport: Transport,
    input: &mut (dyn Read + Send),
    response: &mut Response<impl io::Write>,
) -> Result<(), Refusal> {
    let asked = variable("GIT_PROTOCOL").or_else(|| variable("HTTP_GIT_PROTOCOL"));
    let conversation = Conversation {
        version: Version::from_git_protocol(asked.unwrap_or_default().as_bytes()),
        transport,
        headed: true,
    };
    let dialogue = &mut Dialogue::new(input, response);
    let served = match service {
        Service::UploadPack => fetch::upload_pack(folder, conversation, dialogue),
        Service::ReceivePack => {
            let user = variable("REMOTE_USER").unwrap_or_else(|| "anonymous".to_owned());
            let address = variable("REMOTE_ADDR").unwrap_or_else(|| "(none)".to_owned());
            let pusher = Pusher {
                email: Some(format!("{user}@http.{address}")),
                name: Some(user),
                hooks: config::is_set("PACKHORSE_HOOKS"),
            };
            push::receive_pack(folder, conversation, &pusher, dialogue)
        }
    };
    Ok(served?)
}

fn refuse(refusal: Refusal, response: &mut Response<impl io::Write>) -> io::Result<()> {
    let (status, words, body) = match refusal {
        Refusal::Method { allowed } => {
            if variable("SERVER_PROTOCOL").as_deref() == Some("HTTP/1.1") {
                response.header("Allow", allowed);
                ("405 Method Not Allowed", String::new(), String::new())
            } else {
                ("400 Bad Request", String::new(), String::new())
            }
        }
        Refusal::Forbidden(words) => ("403 Forbidden", words, String::new()),
        Refusal::NotFound(words) => ("404 Not Found", words, String::new()),
        Refusal::MediaType(words) => ("415 Unsupported Media Type", String::new(), words),
        Refusal::Broken(words) => (
            "500 Internal Server Error",
            format!("fatal: {words}"),
            String::new(),
        ),
    };
    if !words.is_empty() {
        eprintln!("{words}");
    }
    response.refuse(status, body.as_bytes())
}

impl<W: io::Write> Response<W> {
    /// All of a file.
    fn file(&mut self, path: &Path, media_type: &str) -> Result<(), Refusal> {
        let shown = path.display();
        let missing = |error| Refusal::NotFound(format!("Cannot open '{shown}': {error}"));
        let mut file = File::open(path).map_err(missing)?;
        let facts: fs::Metadata = file.metadata().map_err(missing)?;
        if !facts.is_file() {
            return Err(missing(io::ErrorKind::IsADirectory.into()));
        }
        self.header("Content-Length", &facts.len().to_string());
        if let Ok(modified) = facts.modified() {
            self.header("Last-Modified", &response::date(modified));
        }
        self.begin(media_type)?;
        let broken = |error: io::Error| Refusal::Broken(error.to_string());
        io::copy(&mut file, self).map_err(broken)?;
        self.flush().map_err(broken)
    }

    /// A short text.
    fn text(&mut self, text: &[u8], media_type: &str) -> Result<(), Refusal> {
        self.header("Content-Length", &text.len().to_string());
        self.begin(media_type)?;
        let sent = self.write_all(text).and_then(|()| self.flush());
        sent.map_err(|error| Refusal::Broken(error.to_string()))
    }

    fn begin(&mut self, media_type: &str) -> Result<(), Refusal> {
        self.header("Content-Type", media_type);
        self.end_headers()
            .map_err(|error| Refusal::Broken(error.to_string()))
    }
}
