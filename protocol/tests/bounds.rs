//! Both sides of every bound on what a client may send.
//!
//! Source: `Limits`.
//! Bounds: lowered to two, so that a table can show both sides.
//! Invariant: what is allowed passes whole, and one more ends the conversation with the bound's name.
//! Not here: the length of a line, which stands beside the decoder.

use std::sync::Arc;

use gix_hash::Kind;
use packhorse_protocol::{
    Bound, Limits, Offer, ProtocolError, ReceivePack, Transport, UploadPack, Version, pkt_line,
};

#[test]
fn two_of_each_line_pass_and_a_third_does_not() {
    let fetch = ["command=fetch", "0001"];
    for (head, line, bound) in [
        (fetch, "want {a}", Bound::Wants),
        (fetch, "want-ref refs/heads/{n}", Bound::Wants),
        (fetch, "have {a}", Bound::Haves),
        (fetch, "shallow {a}", Bound::Shallows),
        (fetch, "deepen-not refs/heads/{n}", Bound::DeepenNots),
        (
            ["command=fetch", "agent=x"],
            "server-option=x",
            Bound::ServerOptions,
        ),
        (
            ["command=object-info", "0001"],
            "oid {a}",
            Bound::ObjectInfos,
        ),
    ] {
        check_upload(Version::V2, &head, line, bound);
    }
    for (head, line, bound) in [
        (
            ["want {a} side-band-64k"].as_slice(),
            "shallow {a}",
            Bound::Shallows,
        ),
        (&["want {a}"], "deepen-not {n}", Bound::DeepenNots),
        (&[], "want {a}", Bound::Wants),
    ] {
        check_upload(Version::V0, head, line, bound);
    }
    check_receive(&[], "{a} {b} refs/heads/{n}", Bound::Commands);
    check_receive(&[], "shallow {a}", Bound::Shallows);
    check_receive(
        &["{a} {b} refs/heads/x\0push-options", "0000"],
        "option",
        Bound::PushOptions,
    );
}

#[test]
fn haves_of_version_0_count_over_all_batches() {
    let wait = upload(Version::V0, limits());
    let asked = wait_for(wait.receive(&wire(&["want {a} multi_ack", "0000"])));
    let UploadPack::Wants(_, reply) = asked else {
        panic!("{asked:?}")
    };
    let mut state = reply.accept(Vec::new(), &mut Vec::new());
    for _ in 0..2 {
        let UploadPack::NeedsInput(wait) = wait_for(state) else {
            panic!("the server waits for haves")
        };
        let asked = wait_for(wait.receive(&wire(&["have {a}", "0000"])));
        let UploadPack::Negotiate(_, reply) = asked else {
            panic!("{asked:?}")
        };
        state = reply.answer(&[], false, &mut Vec::new());
    }
    let UploadPack::NeedsInput(wait) = wait_for(state) else {
        panic!("the server waits for haves")
    };
    let refused = wait.receive(&wire(&["have {a}", "0000"])).unwrap_err();
    assert_eq!(
        refused,
        ProtocolError::TooMany {
            bound: Bound::Haves,
            max: 2
        }
    );
}

#[test]
fn a_request_may_have_so_many_bytes_and_the_next_one_as_many_again() {
    let request = wire(&["command=ls-refs", "0001", "peel", "0000"]);
    for (max, passes) in [(request.len(), true), (request.len() - 1, false)] {
        let limits = Limits {
            request_bytes: max,
            ..Limits::default()
        };
        let mut wait = upload(Version::V2, limits);
        for _ in 0..2 {
            let state = match wait.receive(&request) {
                Ok(state) => state,
                Err(error) => {
                    assert_eq!(
                        error,
                        ProtocolError::TooMany {
                            bound: Bound::RequestBytes,
                            max
                        }
                    );
                    assert!(!passes);
                    break;
                }
            };
            assert!(passes);
            let UploadPack::LsRefs(_, reply) = state else {
                panic!("{state:?}")
            };
            let UploadPack::NeedsInput(next) = wait_for(reply.sent()) else {
                panic!("the next request may come")
            };
            wait = next;
        }
    }
}

#[test]
fn the_pack_of_a_push_is_not_part_of_the_request() {
    let mut request = wire(&["{a} {b} refs/heads/x\0report-status", "0000"]);
    let limits = Limits {
        request_bytes: request.len(),
        ..Limits::default()
    };
    request.extend([b'x'; 1_000]);
    let ReceivePack::Receive(_, reply) = receive(limits).receive(&request).unwrap() else {
        panic!("the request is complete")
    };
    assert_eq!(reply.buffered(), [b'x'; 1_000]);
}

#[test]
fn with_too_many_prefixes_all_refs_are_sent() {
    for (prefixes, kept) in [(2, 2), (3, 0)] {
        let mut lines = vec!["command=ls-refs".to_owned(), "0001".to_owned()];
        lines.extend((0..prefixes).map(|n| format!("ref-prefix refs/{n}")));
        lines.push("0000".to_owned());
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let state = wait_for(upload(Version::V2, limits()).receive(&wire(&lines)));
        let UploadPack::LsRefs(asked, _) = state else {
            panic!("{state:?}")
        };
        assert_eq!(asked.prefixes.len(), kept);
    }
}

#[test]
fn an_answer_that_does_not_fit_into_a_line_is_an_error() {
    let longest = pkt_line::MAX_DATA - Kind::Sha1.len_in_hex() - " \n".len();
    for (length, fits) in [(longest, true), (longest + 1, false)] {
        let name = vec![b'x'; length];
        let id = Kind::Sha1.null();
        let each = packhorse_protocol::AdvertisedRef {
            name: &name,
            id: Some(&id),
            peeled: None,
            symref_target: None,
        };
        let mut output = Vec::new();
        let asked = packhorse_protocol::ls_refs::LsRefsRequest::default();
        let result = packhorse_protocol::ls_refs::encode_ls_refs(&asked, [each], &mut output);
        assert_eq!(result.is_ok(), fits);
        assert_eq!(
            output.len(),
            if fits { 4 + pkt_line::MAX_DATA + 4 } else { 0 }
        );
    }
}

fn limits() -> Limits {
    Limits {
        wants: 2,
        haves: 2,
        shallows: 2,
        deepen_nots: 2,
        ref_prefixes: 2,
        object_infos: 2,
        server_options: 2,
        filter_parts: 2,
        commands: 2,
        push_options: 2,
        request_bytes: 10_000,
    }
}

#[track_caller]
fn check_upload(version: Version, head: &[&str], line: &str, bound: Bound) {
    for (count, passes) in [(2, true), (3, false)] {
        let lines: Vec<String> = numbered(head, line, count);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        verdict(
            upload(version, limits()).receive(&wire(&lines)).map(drop),
            bound,
            passes,
        );
    }
}

#[track_caller]
fn check_receive(head: &[&str], line: &str, bound: Bound) {
    for (count, passes) in [(2, true), (3, false)] {
        let lines = numbered(head, line, count);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        verdict(
            receive(limits()).receive(&wire(&lines)).map(drop),
            bound,
            passes,
        );
    }
}

#[track_caller]
fn verdict(result: Result<(), ProtocolError>, bound: Bound, passes: bool) {
    let expected = if passes {
        Ok(())
    } else {
        Err(ProtocolError::TooMany { bound, max: 2 })
    };
    assert_eq!(result, expected, "{bound:?}");
}

fn numbered(head: &[&str], line: &str, count: usize) -> Vec<String> {
    let repeated = (0..count).map(|n| line.replace("{n}", &n.to_string()));
    head.iter()
        .map(|&line| line.to_owned())
        .chain(repeated)
        .chain(["0000".to_owned()])
        .collect()
}

fn upload(version: Version, limits: Limits) -> packhorse_protocol::upload_pack::NeedsInput {
    let mut output = Vec::new();
    match UploadPack::start(version, Transport::Stateful, offer(limits), &mut output) {
        UploadPack::NeedsInput(wait) => wait,
        UploadPack::Advertise(reply) => match reply.sent() {
            UploadPack::NeedsInput(wait) => wait,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn receive(limits: Limits) -> packhorse_protocol::receive_pack::ReceiveNeedsInput {
    match ReceivePack::start(
        Version::V0,
        Transport::Stateless,
        offer(limits),
        &mut Vec::new(),
    ) {
        ReceivePack::NeedsInput(wait) => wait,
        other => panic!("{other:?}"),
    }
}

fn offer(limits: Limits) -> Arc<Offer> {
    Arc::new(Offer {
        limits,
        ..Offer::new(Kind::Sha1, "packhorse/test")
    })
}

#[track_caller]
fn wait_for(state: Result<UploadPack, ProtocolError>) -> UploadPack {
    state.unwrap()
}

/// Lines as packets; `{a}` and `{b}` are ids.
fn wire(lines: &[&str]) -> Vec<u8> {
    let mut wire = Vec::new();
    for line in lines {
        match *line {
            "0000" => pkt_line::write_flush(&mut wire),
            "0001" => pkt_line::write_delimiter(&mut wire),
            line => {
                let line = line
                    .replace("{a}", &"a".repeat(40))
                    .replace("{b}", &"b".repeat(40));
                pkt_line::write_data(line.as_bytes(), &mut wire).unwrap();
            }
        }
    }
    wire
}
