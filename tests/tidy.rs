//! Rules of the source itself: which module may use which, and what every file owes its reader.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each module with those it may use: the order of the chapter "How it is built" in the README.
const MAY_USE: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["server", "http", "bare", "config", "model"]),
    (
        "server",
        &[
            "api", "ssh", "http", "mirror", "wire", "hosting", "auth", "outbound", "git", "store",
            "config", "disk", "model",
        ],
    ),
    (
        "ssh",
        &[
            "http", "wire", "hosting", "auth", "policy", "model", "config", "disk",
        ],
    ),
    (
        "api",
        &[
            "http", "mirror", "hosting", "auth", "git", "store", "policy", "model",
        ],
    ),
    ("http", &["wire", "auth", "policy", "model", "config"]),
    ("bare", &["git", "disk", "model"]),
    (
        "mirror",
        &["hosting", "outbound", "git", "store", "policy", "model"],
    ),
    ("wire", &["hosting", "git", "policy", "model", "config"]),
    (
        "hosting",
        &["auth", "git", "store", "policy", "disk", "model"],
    ),
    ("auth", &["store", "policy", "model"]),
    ("outbound", &["model"]),
    ("git", &["disk", "model"]),
    ("store", &["policy", "disk", "model"]),
    ("policy", &["model"]),
    ("config", &[]),
    ("disk", &[]),
    ("model", &[]),
];

/// The crates that one module alone may name.
const CRATE_BELONGS_TO: &[(&str, &[&str])] = &[
    ("redb", &["store"]),
    ("gix_pack", &["git"]),
    ("gix_ref", &["bare"]),
    ("gix_config", &["bare"]),
    ("jsonwebtoken", &["auth", "hosting"]),
    ("argon2", &["auth", "hosting"]),
    ("axum", &["http", "api", "server"]),
    ("clap", &["cli", "config", "main"]),
    ("ureq", &["cli", "outbound"]),
    ("anyhow", &["cli", "main"]),
];

/// What the protocol crate must not know.
const NOT_IN_PROTOCOL: &[&str] = &[
    "std::io",
    "std::fs",
    "std::net",
    "std::time",
    "std::thread",
    "tokio",
    "async fn",
    "tracing",
];

/// Lines a source file may have before it needs a second noun.
const MOST_LINES: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().unwrap() != "target" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The first segment below `src`: `src/wire/fetch.rs` is of `wire`.
fn module_of(file: &Path) -> String {
    let below = file.strip_prefix(root().join("src")).unwrap();
    below
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_str()
        .unwrap()
        .trim_end_matches(".rs")
        .to_owned()
}

/// Top-level modules named after `crate::`, in paths and in grouped imports.
fn modules_used(source: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect()
    };
    let mut used = BTreeSet::new();
    for (at, _) in source.match_indices("crate::") {
        let rest = &source[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => used.extend(members(group).into_iter().map(word)),
            None => {
                used.insert(word(rest));
            }
        }
    }
    used.retain(|word| MAY_USE.iter().any(|(module, _)| module == word));
    used
}

/// The members of a group whose opening brace has been read, each from its first letter on.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut members) = (0, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    members
}

#[test]
fn imports_are_read_as_rust_reads_them() {
    let source = "use crate::{\n    auth::{A, store},\n    git::B,\n    model,\n};\nlet x = crate::wire::y;\n";
    let used: Vec<_> = modules_used(source).into_iter().collect();
    assert_eq!(used, ["auth", "git", "model", "wire"]);
}

#[test]
fn a_module_uses_only_modules_below_it() {
    let allowed: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut broken = Vec::new();
    for file in rust_files(&root().join("src")) {
        let module = module_of(&file);
        if module == "lib" {
            continue;
        }
        let may_use = allowed.get(module.as_str()).unwrap_or_else(|| {
            panic!("{module} is in no room: add it to the table and to the README")
        });
        for used in modules_used(&fs::read_to_string(&file).unwrap()) {
            if used != module && !may_use.contains(&used.as_str()) {
                broken.push(format!("{} uses {used}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_table_of_modules_has_no_way_back() {
    let order: Vec<_> = MAY_USE.iter().map(|(module, _)| *module).collect();
    for (at, (module, uses)) in MAY_USE.iter().enumerate() {
        for used in *uses {
            let below = order.iter().position(|other| other == used).unwrap();
            assert!(
                below > at,
                "{module} stands below {used} and may not use it"
            );
        }
    }
}

#[test]
fn a_crate_stays_where_it_belongs() {
    for file in rust_files(&root().join("src")) {
        let module = module_of(&file);
        let source = fs::read_to_string(&file).unwrap();
        for (name, modules) in CRATE_BELONGS_TO {
            let names = source
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .any(|line| line.contains(&format!("{name}::")));
            assert!(
                !names || modules.contains(&module.as_str()),
                "{} names {name}, which belongs to {modules:?}",
                file.display()
            );
        }
    }
}

#[test]
fn the_protocol_does_no_input_or_output() {
    for file in rust_files(&root().join("protocol/src")) {
        let source = fs::read_to_string(&file).unwrap();
        let code = source.split("#[cfg(test)]").next().unwrap();
        for word in NOT_IN_PROTOCOL {
            let named = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .any(|line| line.contains(word));
            assert!(!named, "{} names {word}", file.display());
        }
    }
}

#[test]
fn every_file_tells_first_what_it_is() {
    for folder in ["src", "protocol/src", "tests"] {
        for file in rust_files(&root().join(folder)) {
            let source = fs::read_to_string(&file).unwrap();
            assert!(
                source.starts_with("//! ") || source.starts_with("#![doc = include_str!"),
                "{} has no header",
                file.display()
            );
        }
    }
}

#[test]
fn no_file_outgrows_its_noun() {
    let mut grown = Vec::new();
    for folder in ["src", "protocol/src"] {
        for file in rust_files(&root().join(folder)) {
            // A table of tests is as long as what it tells apart.
            if file
                .iter()
                .any(|part| part == "tests" || part == "tests.rs")
            {
                continue;
            }
            let source = fs::read_to_string(&file).unwrap();
            let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let lines = code.lines().count();
            if lines > MOST_LINES {
                grown.push(format!("{}: {lines} lines", file.display()));
            }
        }
    }
    assert!(
        grown.is_empty(),
        "look for a second noun in\n{}",
        grown.join("\n")
    );
}

#[test]
fn the_integration_binary_forgets_no_file() {
    let main = fs::read_to_string(root().join("tests/main.rs")).unwrap();
    for entry in fs::read_dir(root().join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let source = path.is_dir() || path.extension().is_some_and(|extension| extension == "rs");
        // The fuzz targets are a crate of their own.
        if source && name != "main" && name != "fuzz" {
            assert!(
                main.contains(&format!("mod {name};")),
                "tests/main.rs does not list {name}"
            );
        }
    }
}

#[test]
fn the_readme_names_every_module() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let missing: Vec<_> = MAY_USE
        .iter()
        .filter(|(module, _)| {
            !readme.contains(&format!("`{module}")) && !readme.contains(&format!("src/{module}"))
        })
        .collect();
    assert!(missing.is_empty(), "the README's map lacks {missing:?}");
}
