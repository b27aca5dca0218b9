//! Histories in which everything happens that a patch can tell.

use std::collections::BTreeMap;

use crate::git::fixture::Stock;

/// Numbers that look random and are the same each time.
pub(in crate::git::diff) struct Dice(u64);

impl Dice {
    pub(in crate::git::diff) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub(in crate::git::diff) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound
    }

    pub(in crate::git::diff) fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}

/// Paths that are hard to write, to sort or to tell apart.
const PATHS: &[&str] = &[
    "a",
    "a.c",
    "a/b",
    "a0",
    "a b",
    "tab\there",
    "line\nfeed",
    "quo\"te",
    "back\\slash",
    "täst/ümlaut",
    "-dash",
    "deep/er/and/deeper/file.txt",
    "deep/er/file.txt",
    "src/main.c",
    "src/lib/main.c",
    "src/util.c",
    "Makefile",
    "src/Makefile",
    "bell\u{7}",
    "x/y",
    "x",
    "x-y",
    "trailing ",
    "\u{feff}bom",
    "b/c",
    "dev/null",
];

#[derive(Clone)]
struct File {
    mode: &'static str,
    content: Vec<u8>,
}

/// A branch `main` of `commits` commits, each with several changes to the one before.
pub(super) fn eventful(stock: &Stock, seed: u64, commits: usize) {
    let mut dice = Dice::new(seed);
    let mut files = BTreeMap::<Vec<u8>, File>::new();
    let mut stream = Vec::new();
    for n in 0..commits {
        for _ in 0..=dice.below(6) {
            happen(&mut dice, &mut files, stock);
        }
        let header = format!(
            "commit refs/heads/main\ncommitter Ann <ann@example.org> {} +0000\ndata 0\n\ndeleteall\n",
            1_700_000_000 + n
        );
        stream.extend_from_slice(header.as_bytes());
        for (path, file) in &files {
            let path: String = path.iter().map(|byte| format!("\\{byte:03o}")).collect();
            match file.mode {
                "160000" => {
                    let id = String::from_utf8_lossy(&file.content);
                    stream.extend_from_slice(format!("M 160000 {id} \"{path}\"\n").as_bytes());
                }
                mode => {
                    let header =
                        format!("M {mode} inline \"{path}\"\ndata {}\n", file.content.len());
                    stream.extend_from_slice(header.as_bytes());
                    stream.extend_from_slice(&file.content);
                    stream.push(b'\n');
                }
            }
        }
    }
    stock.git_with_input(["fast-import", "--quiet"], &stream);
}

fn happen(dice: &mut Dice, files: &mut BTreeMap<Vec<u8>, File>, stock: &Stock) {
    let paths: Vec<_> = files.keys().cloned().collect();
    let new_path = free_path(dice, files);
    let event = dice.below(if paths.is_empty() { 2 } else { 14 });
    if event < 2 {
        if let Some(path) = new_path {
            let mode = dice.one_of(&["100644", "100644", "100755"]);
            let content = content(dice);
            files.insert(path, File { mode, content });
        }
        return;
    }
    let path = dice.one_of(&paths);
    let mut file = files[&path].clone();
    match event {
        2 => drop(files.remove(&path)),
        3..5 => {
            let Some(new_path) = new_path else { return };
            files.remove(&path);
            if file.mode.starts_with("100") && dice.below(2) == 0 {
                file.content = edited(dice, &file.content);
            }
            files.insert(new_path, file);
        }
        5 => {
            if let Some(new_path) = new_path {
                files.insert(new_path, file);
            }
        }
        6 if file.mode.starts_with("100") => {
            file.mode = if file.mode == "100644" {
                "100755"
            } else {
                "100644"
            };
            files.insert(path, file);
        }
        7 => {
            file.mode = dice.one_of(&["120000", "160000", "100644"]);
            file.content = match file.mode {
                "160000" => {
                    let digit = dice.one_of(&["1", "2", "3"]);
                    digit
                        .repeat(stock.format().kind().len_in_hex())
                        .into_bytes()
                }
                "120000" => dice
                    .one_of(&["target", "a", "two\nlines"])
                    .as_bytes()
                    .to_vec(),
                _ => content(dice),
            };
            files.insert(path, file);
        }
        _ if file.mode.starts_with("100") => {
            file.content = edited(dice, &file.content);
            files.insert(path, file);
        }
        _ => {}
    }
}

/// A path that neither is a folder nor lies below a file.
fn free_path(dice: &mut Dice, files: &BTreeMap<Vec<u8>, File>) -> Option<Vec<u8>> {
    let path = dice.one_of(PATHS).as_bytes().to_vec();
    let below = |one: &[u8], other: &[u8]| {
        other
            .strip_prefix(one)
            .is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
    };
    let taken = files
        .keys()
        .any(|other| below(other, &path) || below(&path, other));
    (!taken).then_some(path)
}

fn content(dice: &mut Dice) -> Vec<u8> {
    match dice.below(12) {
        0 => Vec::new(),
        1 => {
            let length = dice.below(3000);
            (0..length)
                .map(|_| u8::try_from(dice.below(256)).unwrap())
                .collect()
        }
        2 => text(dice, 30).replace('\n', "\r\n").into_bytes(),
        3 => text(dice, 10).trim_end().as_bytes().to_vec(),
        4 => text(dice, 2000).into_bytes(),
        5 => [&b"fran\xe7ois \xff {\n"[..], text(dice, 40).as_bytes()].concat(),
        6 => [text(dice, 400).as_bytes(), b"late zero \0\n"].concat(),
        _ => text(dice, 60).into_bytes(),
    }
}

/// Code with functions, indentation, blank lines, and many lines that are the same.
fn text(dice: &mut Dice, lines: usize) -> String {
    (0..dice.below(lines) + 1).map(|_| line(dice)).collect()
}

fn line(dice: &mut Dice) -> String {
    let number = dice.below(40);
    match dice.below(12) {
        0 => format!("int function_{number}(void)\n"),
        1 => "{\n".to_owned(),
        2 => "}\n".to_owned(),
        3 | 4 => "\n".to_owned(),
        5 => "\t}\n".to_owned(),
        6 => format!("\tif (value == {number}) {{\n"),
        7 => format!("        call({number});\n"),
        8 => format!("$ünïcode_{number}_{}\n", "ä".repeat(number)),
        9 => "  \t \n".to_owned(),
        10 => "\tbreak;\n".to_owned(),
        _ => format!("\t\tcall_{}({number});\n", dice.below(9)),
    }
}

fn edited(dice: &mut Dice, content: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = content
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let many = dice.one_of(&[4, 4, 4, 40]);
    for _ in 0..=dice.below(many) {
        let at = dice.below(lines.len() + 1);
        let end = (at + dice.below(8)).min(lines.len());
        match dice.below(6) {
            0 => drop(lines.drain(at..end)),
            1 => {
                let moved: Vec<_> = lines.drain(at..end).collect();
                let to = dice.below(lines.len() + 1);
                lines.splice(to..to, moved);
            }
            2 => {
                let repeated = lines[at..end].to_vec();
                lines.splice(at..at, repeated);
            }
            3 if end > at => lines[at] = line(dice).into_bytes(),
            4 if dice.below(8) == 0 => {
                if let Some(last) = lines.last_mut() {
                    match last.pop_if(|byte| *byte == b'\n') {
                        Some(_) => {}
                        None => last.push(b'\n'),
                    }
                }
            }
            _ => {
                let new: Vec<_> = (0..dice.below(5))
                    .map(|_| line(dice).into_bytes())
                    .collect();
                lines.splice(at..at, new);
            }
        }
    }
    lines.concat()
}
