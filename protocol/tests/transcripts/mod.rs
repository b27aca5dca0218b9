//! Replays the dialogues of `fixtures/transcripts`: as they happened, byte by byte, and all at once.
//!
//! Source: the format is told in `fixtures/transcripts/README.md`.
//! Bounds: none; the dialogues are ours.
//! Invariant: how input is cut changes neither the questions nor a byte of the answers.
//! Not here: what the crate's caller answers (`dialogue`), out of what a transcript says (`scene`).

mod dialogue;
mod scene;

use std::{fs, path::Path};

use packhorse_protocol::pkt_line::{PktLine, decode};

use dialogue::Dialogue;
use scene::{Scene, unescape};

#[test]
fn every_transcript_replays_however_its_input_is_cut() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/transcripts");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(paths.len() >= 30, "only {} transcripts found", paths.len());
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let transcript = Transcript::parse(&name, &text);
        transcript.replay_as_it_happened();
        transcript.replay_in_one_go("byte by byte", 1);
        transcript.replay_in_one_go("in pieces of 7 bytes", 7);
        transcript.replay_in_one_go("all at once", usize::MAX);
    }
}

/// Part of a dialogue: what the client says, then what that must lead to.
#[derive(Default, Debug)]
struct Turn {
    input: Vec<u8>,
    hangs_up: bool,
    output: Vec<u8>,
    questions: Vec<String>,
}

struct Transcript {
    name: String,
    scene: Scene,
    turns: Vec<Turn>,
}

impl Transcript {
    fn parse(name: &str, text: &str) -> Self {
        let mut scene = Scene::default();
        let mut turns = vec![Turn::default()];
        for (number, line) in text.lines().enumerate() {
            let at = format!("{name}:{}", number + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line
                .split_once(": ")
                .unwrap_or_else(|| panic!("{at}: no key in {line:?}"));
            let value = scene.expand(value);
            if key.starts_with('C') && turns.last().is_some_and(|turn| turn.spoken_to()) {
                turns.push(Turn::default());
            }
            let turn = turns.last_mut().unwrap();
            match key {
                "C" if value == "EOF" => turn.hangs_up = true,
                "C" => turn.input.extend(packet(&value)),
                "C raw" => turn.input.extend(unescape(&value)),
                "S" => turn.output.extend(packet(&value)),
                "S raw" => turn.output.extend(unescape(&value)),
                "Q" => turn.questions.push(value),
                _ => scene
                    .set(key, &value)
                    .unwrap_or_else(|| panic!("{at}: can't read {line:?}")),
            }
        }
        Self {
            name: name.to_owned(),
            scene,
            turns,
        }
    }

    fn replay_as_it_happened(&self) {
        let mut dialogue = Dialogue::start(&self.scene);
        for (number, turn) in self.turns.iter().enumerate() {
            if !turn.input.is_empty() {
                dialogue.receive(&turn.input);
            }
            if turn.hangs_up {
                dialogue.receive(b"");
            }
            let at = format!("{}, turn {number}, as it happened", self.name);
            self.compare(&at, &turn.output, &turn.questions, &dialogue);
            dialogue.output.clear();
            dialogue.questions.clear();
        }
        assert!(
            dialogue.is_over(),
            "{}: the conversation is not over",
            self.name
        );
    }

    fn replay_in_one_go(&self, how: &str, piece: usize) {
        let mut dialogue = Dialogue::start(&self.scene);
        let all = |part: fn(&Turn) -> &[u8]| {
            self.turns
                .iter()
                .flat_map(part)
                .copied()
                .collect::<Vec<u8>>()
        };
        let input = all(|turn| &turn.input);
        for piece in input.chunks(piece.min(input.len()).max(1)) {
            dialogue.receive(piece);
        }
        if self.turns.iter().any(|turn| turn.hangs_up) {
            dialogue.receive(b"");
        }
        let questions: Vec<String> = self
            .turns
            .iter()
            .flat_map(|turn| turn.questions.clone())
            .collect();
        let at = format!("{}, {how}", self.name);
        self.compare(&at, &all(|turn| &turn.output), &questions, &dialogue);
    }

    fn compare(&self, at: &str, output: &[u8], questions: &[String], dialogue: &Dialogue<'_>) {
        assert_eq!(dialogue.questions, questions, "questions of {at}");
        let (got, expected) = (shown(&dialogue.output), shown(output));
        assert_eq!(
            got, expected,
            "answers of {at}\n got: {got:#?}\n expected: {expected:#?}"
        );
        assert_eq!(dialogue.output, output, "bytes of {at}");
    }
}

impl Turn {
    fn spoken_to(&self) -> bool {
        !self.output.is_empty() || !self.questions.is_empty() || self.hangs_up
    }
}

/// One packet; special ones are spelt out.
fn packet(text: &str) -> Vec<u8> {
    if matches!(text, "0000" | "0001" | "0002") {
        return text.as_bytes().to_vec();
    }
    let data = unescape(text);
    let mut packet = format!("{:04x}", data.len() + 4).into_bytes();
    packet.extend(data);
    packet
}

/// Output as lines, so that a difference can be seen.
fn shown(output: &[u8]) -> Vec<String> {
    let mut rest = output;
    let mut lines = Vec::new();
    while let Ok(Some(line)) = decode(&mut rest) {
        lines.push(match line {
            PktLine::Data(data) => data.escape_ascii().to_string(),
            special => format!("{special:?}"),
        });
    }
    if !rest.is_empty() {
        lines.push(format!("raw {}", rest.escape_ascii()));
    }
    lines
}
