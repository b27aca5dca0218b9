//! HTTP/2 frames that break the rules: the connection or stream ends with the error that the RFC names.
//!
//! Source: RFC 9113; each row says which section. Where the RFC names a more specific error, h2 may say
//! `PROTOCOL_ERROR`, which ends the connection all the same.

use std::io::Write as _;

use super::scene::Victim;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET /healthz` with the scheme `http` and the authority `x`, in HPACK.
const GET: &[u8] = b"\x82\x86\x04\x08/healthz\x01\x01x";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

/// The kinds, streams and error codes of the frames that the server sent.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u32, u32)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let number = |at: &[u8]| at.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        let length = usize::try_from(number(&head[..3])).unwrap();
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        let code = match head[3] {
            RST_STREAM => number(payload),
            GOAWAY => number(&payload[4..8]),
            _ => 0,
        };
        frames.push((head[3], number(&head[5..9]), code));
        bytes = rest;
    }
    frames
}

/// What the server sends after these bytes; it must hang up.
fn answered(victim: &Victim, bytes: &[u8]) -> Vec<(u8, u32, u32)> {
    let mut stream = victim.connects();
    stream.write_all(PREFACE).unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, b"")).unwrap();
    // The server may hang up before it has read all of it.
    stream.write_all(bytes).ok();
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = std::io::Read::read(&mut stream, &mut piece) {
        read.extend_from_slice(&piece[..length]);
        // A stream's error leaves the connection open; a peer that has seen it may leave.
        if frames(&read)
            .iter()
            .any(|(kind, ..)| matches!(*kind, RST_STREAM | GOAWAY))
        {
            break;
        }
    }
    frames(&read)
}

#[test]
fn frames_that_break_the_rules_end_with_the_error_that_the_rules_name() {
    let victim = Victim::new();
    let open = || frame(HEADERS, END_HEADERS, 1, GET);
    let whole = || frame(HEADERS, END_HEADERS | END_STREAM, 1, GET);
    let after = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
    let none = b"".as_slice();
    let mut otherwise = Vec::new();
    for (section, bytes, expected) in [
        (
            "4.2",
            frame(DATA, 0, 1, &vec![0; 1 << 20]),
            FRAME_SIZE_ERROR,
        ),
        (
            "4.3",
            frame(HEADERS, END_HEADERS, 1, b"\xbf"),
            COMPRESSION_ERROR,
        ),
        ("5.1 idle: DATA", frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
        (
            "5.1 idle: RST_STREAM",
            frame(RST_STREAM, 0, 1, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        (
            "5.1 idle: WINDOW_UPDATE",
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            PROTOCOL_ERROR,
        ),
        (
            "5.1 half closed: DATA",
            after(whole(), frame(DATA, 0, 1, b"x")),
            STREAM_CLOSED,
        ),
        (
            "5.1.1 even",
            frame(HEADERS, END_HEADERS, 2, GET),
            PROTOCOL_ERROR,
        ),
        (
            "5.1.1 smaller",
            after(
                frame(HEADERS, END_HEADERS, 5, GET),
                frame(HEADERS, END_HEADERS, 3, GET),
            ),
            PROTOCOL_ERROR,
        ),
        ("6.1 stream 0", frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        (
            "6.1 padding",
            after(open(), frame(DATA, 8, 1, &[200, 0])),
            PROTOCOL_ERROR,
        ),
        (
            "6.2 stream 0",
            frame(HEADERS, END_HEADERS, 0, GET),
            PROTOCOL_ERROR,
        ),
        (
            "6.2 interrupted",
            after(frame(HEADERS, 0, 1, GET), frame(PING, 0, 0, &[0; 8])),
            PROTOCOL_ERROR,
        ),
        (
            "6.3 stream 0",
            frame(PRIORITY, 0, 0, &[0; 5]),
            PROTOCOL_ERROR,
        ),
        (
            "6.4 stream 0",
            frame(RST_STREAM, 0, 0, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        (
            "6.4 size",
            after(open(), frame(RST_STREAM, 0, 1, &[0; 3])),
            FRAME_SIZE_ERROR,
        ),
        ("6.5 stream", frame(SETTINGS, 0, 1, none), PROTOCOL_ERROR),
        ("6.5 size", frame(SETTINGS, 0, 0, &[0; 5]), FRAME_SIZE_ERROR),
        (
            "6.5 acknowledged",
            frame(SETTINGS, ACK, 0, &[0; 6]),
            FRAME_SIZE_ERROR,
        ),
        ("6.5.2 push", setting(2, 2), PROTOCOL_ERROR),
        ("6.5.2 window", setting(4, u32::MAX), FLOW_CONTROL_ERROR),
        ("6.5.2 frame", setting(5, 1), PROTOCOL_ERROR),
        (
            "6.6 promised by a client",
            after(open(), frame(5, END_HEADERS, 1, &[0, 0, 0, 2])),
            PROTOCOL_ERROR,
        ),
        ("6.7 stream", frame(PING, 0, 1, &[0; 8]), PROTOCOL_ERROR),
        ("6.7 size", frame(PING, 0, 0, &[0; 6]), FRAME_SIZE_ERROR),
        ("6.8 stream", frame(GOAWAY, 0, 1, &[0; 8]), PROTOCOL_ERROR),
        (
            "6.9 nothing",
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        (
            "6.9 size",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
            FRAME_SIZE_ERROR,
        ),
        (
            "6.9.1 too much",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            FLOW_CONTROL_ERROR,
        ),
        (
            "6.10 alone",
            frame(CONTINUATION, END_HEADERS, 1, GET),
            PROTOCOL_ERROR,
        ),
        (
            "8.2.1 upper case",
            frame(HEADERS, END_HEADERS, 1, b"\x82\x86\x84\x00\x01A\x01b"),
            PROTOCOL_ERROR,
        ),
        (
            "8.2.2 connection",
            frame(
                HEADERS,
                END_HEADERS,
                1,
                b"\x82\x86\x84\x00\x0aconnection\x05close",
            ),
            PROTOCOL_ERROR,
        ),
        (
            "8.3 late",
            frame(HEADERS, END_HEADERS, 1, b"\x00\x01a\x01b\x82\x86\x84"),
            PROTOCOL_ERROR,
        ),
        (
            "8.3 twice",
            frame(HEADERS, END_HEADERS, 1, b"\x82\x82\x86\x84"),
            PROTOCOL_ERROR,
        ),
    ] {
        let sent = answered(&victim, &bytes);
        let codes: Vec<u32> = sent
            .iter()
            .filter(|(kind, ..)| matches!(*kind, RST_STREAM | GOAWAY))
            .map(|(.., code)| *code)
            .collect();
        if !codes.contains(&expected) && !codes.contains(&PROTOCOL_ERROR) {
            otherwise.push(format!("section {section}: {expected} is not in {sent:?}"));
        }
    }
    assert!(otherwise.is_empty(), "{}", otherwise.join("\n"));
    victim.is_unharmed("frames that break the rules");
}

/// Frames that are right one by one and an attack together: a header block without end
/// (CVE-2024-27316), streams that are opened to be reset (CVE-2023-44487), pings and settings that
/// each want an answer which nobody reads (CVE-2019-9512, CVE-2019-9515).
#[test]
fn floods_are_stopped_or_cost_nothing() {
    let victim = Victim::new();
    let mut endless = frame(HEADERS, 0, 1, GET);
    for _ in 0..4_096 {
        endless.extend(frame(
            CONTINUATION,
            0,
            1,
            &[b"\x00\x01a\x7f\x81\x1f".as_slice(), &[b'x'; 4_000]].concat(),
        ));
    }
    let mut resets = Vec::new();
    for stream in (1..200_000).step_by(2) {
        resets.extend(frame(HEADERS, END_HEADERS, stream, GET));
        resets.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
    }
    for (name, flood) in [
        ("headers without end", endless),
        ("streams opened to be reset", resets),
    ] {
        let sent = answered(&victim, &flood);
        let calm = [ENHANCE_YOUR_CALM, PROTOCOL_ERROR, COMPRESSION_ERROR];
        assert!(
            sent.iter()
                .any(|(kind, _, code)| *kind == GOAWAY && calm.contains(code)),
            "{name}: {sent:?}"
        );
        victim.is_unharmed(name);
    }
    for (name, each) in [
        ("pings", frame(PING, 0, 0, &[0; 8])),
        ("settings", setting(3, 100)),
        ("empty data", frame(DATA, 0, 1, b"")),
    ] {
        let mut stream = victim.connects();
        stream.write_all(PREFACE).unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, b"")).unwrap();
        stream
            .write_all(&frame(HEADERS, END_HEADERS, 1, GET))
            .unwrap();
        // A server that reads no further while its answers are not read is right, too.
        stream
            .set_write_timeout(Some(std::time::Duration::from_secs(2)))
            .unwrap();
        let flood = each.repeat(500_000);
        stream.write_all(&flood).ok();
        victim.is_unharmed(name);
    }
}
